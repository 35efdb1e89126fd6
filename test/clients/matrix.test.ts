/** Client programs that others wrote, each with each, over the broker. A browser is in test/browser. */
import { describe, test } from "vitest";
import { useBroker } from "../broker/support/broker.ts";
import { allPrograms, exchangesOf, expires } from "./programs/matrix.ts";
import { useMosquitto } from "./programs/mosquitto.ts";
import { useMqttJs } from "./programs/mqtt-js.ts";
import { usePaho } from "./programs/paho.ts";

const use = useBroker();
const programs = allPrograms(useMqttJs(use), useMosquitto(use), usePaho(use));

describe.each(programs)("from $name", (from) => {
  describe.each(programs)("to $name", (to) => {
    test.each(exchangesOf(from))("$name", ({ run }) => run(from, to));
  });
});

test.each(programs.filter(({ version }) => version === 5))(
  "from $name: what has expired is neither retained nor queued any more",
  (from) => expires(from, programs),
);
