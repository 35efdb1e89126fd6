/** One point in this process, which needs `--expose-gc`: `measure.ts <order as JSON>` prints the point as JSON. */

import { measure, type Order } from "./order.ts";

console.log(JSON.stringify(measure(JSON.parse(process.argv[2]!) as Order)));
