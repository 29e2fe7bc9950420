// Takes the pictures of the README, of a broker with `traffic.js` running: UI_URL=... node shots.js FOLDER
import { writeFile } from 'node:fs/promises';
import { launch, logIn, open } from './browser.js';

const SHOTS = { overview: ['light', '#/overview'], queue: ['dark', '#/queue/%2F/orders'], delayed: ['light', '#/exchange/%2F/shop.later'], topology: ['dark', '#/topology'] };
/** Sparklines have something to show by then. */
const WAIT_MS = 25_000;

const browser = await launch();
await Promise.all(Object.entries(SHOTS).map(async ([name, [colorScheme, hash]]) => {
  const page = await open(browser, { colorScheme, viewport: { width: 1280, height: 860 } });
  await logIn(page, hash);
  await page.waitForTimeout(WAIT_MS);
  await page.mouse.move(0, 0);
  const png = await page.screenshot();
  await page.goto('about:blank');
  const webp = await page.evaluate(async (data) => {
    const image = new Image();
    image.src = data;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext('2d').drawImage(image, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/webp', quality: 0.8 });
    return [...new Uint8Array(await blob.arrayBuffer())];
  }, `data:image/png;base64,${png.toString('base64')}`);
  await writeFile(`${process.argv[2] ?? '.'}/${name}.webp`, Buffer.from(webp));
}));
await browser.close();
