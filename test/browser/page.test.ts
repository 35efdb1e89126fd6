/** The broker's own page in a real browser. */
import { expect, test } from "vitest";
import { useBroker } from "../broker/support/broker.ts";
import { useChromium } from "../clients/programs/chromium.ts";

const use = useBroker();
const chromium = useChromium(use);

test("the broker's page says where to connect, without a complaint of the browser", async () => {
  const page = await chromium.open();
  await page.goto(`${use.broker.url}/`);
  expect(await page.title()).toBe("Dormouse");
  expect(await page.locator("code").first().textContent()).toBe(use.broker.wsUrl);
  const command = await page.locator("pre").textContent();
  expect(command).toContain(`-h 127.0.0.1 -p ${use.broker.port} -l ws --path /mqtt`);
  // Its styles are applied, so the Content-Security-Policy lets them.
  expect(await page.evaluate("getComputedStyle(document.body).maxWidth")).not.toBe("none");
  // The favicon that every browser asks for is nobody's error.
  expect(
    chromium.complaints.filter((complaint) => !complaint.includes("favicon") && !complaint.includes("404")),
  ).toEqual([]);
});
