/**
 * A lint rule: which folders of src may import which. Shells import core, core imports mqtt; nothing imports the other
 * way. A folder that is not named here may import whatever it likes.
 */
import { dirname, relative, resolve, sep } from "node:path";

const LAYERS: Record<string, { folders: readonly string[]; packages: readonly string[] }> = {
  mqtt: { folders: ["mqtt"], packages: ["mqtt-packet"] },
  link: { folders: ["link", "mqtt", "core"], packages: [] },
  core: { folders: ["core", "mqtt", "link"], packages: [] },
};

/** As much of ESTree, and of ESLint's interface, as the rule needs. */
interface Source {
  type: string;
  value?: unknown;
}
interface Importing {
  source?: Source | null;
}
interface Context {
  filename: string;
  report(problem: { message: string; node: Source }): void;
}

const imports = {
  create(context: Context) {
    const src = context.filename.lastIndexOf(`${sep}src${sep}`);
    if (src < 0) return {};
    const root = context.filename.slice(0, src + 5);
    const [layer = ""] = relative(root, context.filename).split(sep);
    const allowed = LAYERS[layer];
    if (allowed === undefined) return {};

    const check = ({ source }: Importing): void => {
      if (!source || mayImport(source.value)) return;
      const names = [...allowed.folders.map((folder) => `src/${folder}`), ...allowed.packages].join(", ");
      context.report({ message: `src/${layer} imports from ${names} only.`, node: source });
    };
    const mayImport = (specifier: unknown): boolean => {
      if (typeof specifier !== "string") return false;
      if (!specifier.startsWith(".")) return allowed.packages.includes(specifier);
      const [folder = ""] = relative(root, resolve(dirname(context.filename), specifier)).split(sep);
      return allowed.folders.includes(folder);
    };
    return {
      ImportDeclaration: check,
      ImportExpression: check,
      ExportAllDeclaration: check,
      ExportNamedDeclaration: check,
    };
  },
};

export default { meta: { name: "layers" }, rules: { imports } };
