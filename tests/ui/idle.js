// Keeps overviews open until its input ends: UI_URL=... node idle.js HOW-MANY
import { launch, logIn, open } from './browser.js';

const browser = await launch();
for (let i = 0; i < Number(process.argv[2] ?? 1); i++) {
  const page = await open(browser);
  await logIn(page);
  await page.locator('section.status .line').waitFor();
}
process.stdout.write('open\n');
process.stdin.resume();
process.stdin.on('end', async () => {
  await browser.close();
  process.exit(0);
});
