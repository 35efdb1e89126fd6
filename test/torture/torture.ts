/**
 * `npm run torture -- --minutes N --seed S --faults a,b`: rounds of torture until time is up, each with a seed, a broker
 * and a state of its own. Ends with 1 if a promise was broken. What a seed decides is repeated by
 * `--rounds 1 --seed <that seed>`; when workerd and the sockets do what they do is not.
 */
import { parseArgs } from "node:util";
import { startMosquitto } from "../../bench/targets/mosquitto.ts";
import { everybody } from "../trial/cast.ts";
import { FAIR_FAULTS, fault, FAULT_NAMES, type FaultName } from "../trial/faults.ts";
import { explanation, summary } from "../trial/report.ts";
import { type Plan, trial } from "../trial/trial.ts";
import { RealSite } from "./site.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    rounds: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    /** Of one round. */
    seconds: { type: "string", default: "20" },
    faults: { type: "string", default: FAIR_FAULTS.join(",") },
    /** Mosquitto beside Dormouse, as far as sockets go: do client and checker ask for more than MQTT does? */
    against: { type: "string", default: "dormouse" },
    "fault-every-ms": { type: "string", default: "500" },
  },
});

const unknown = values.faults.split(",").filter((name) => name !== "" && !FAULT_NAMES.includes(name as FaultName));
if (unknown.length > 0) {
  console.error(`There is no fault ${unknown.join(", ")}; there are ${FAULT_NAMES.join(", ")}.`);
  process.exit(2);
}

const end = performance.now() + Number(values.minutes) * 60_000;
const rounds = values.rounds === undefined ? Number.POSITIVE_INFINITY : Number(values.rounds);
let broken = 0;
// A site that is open then removes its state; workerd ends with this process.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
for (let number = 0; number < rounds && (values.rounds !== undefined || performance.now() < end); number++) {
  const plan: Plan = {
    seed: Number(values.seed) + number,
    seconds: Number(values.seconds),
    cast: everybody,
    faults: (values.faults.split(",").filter(Boolean) as FaultName[]).map(fault),
    faultEveryMs: Number(values["fault-every-ms"]),
  };
  console.log(`\nseed ${plan.seed}, ${plan.seconds} s`);
  const outcome = await trial(plan, await site());
  console.log(summary(outcome));
  if (outcome.violations.length === 0 && outcome.stuck.length === 0) continue;
  broken += 1;
  console.log(explanation(outcome));
}
console.log(broken === 0 ? "\nevery promise was kept" : `\n${broken} rounds with broken promises`);
process.exit(broken === 0 ? 0 : 1);

async function site(): Promise<RealSite> {
  if (values.against !== "mosquitto") return RealSite.open();
  const mosquitto = await startMosquitto();
  if (mosquitto === null) throw new Error("Mosquitto is not installed");
  return RealSite.around(mosquitto);
}
