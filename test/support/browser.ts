/** A browser for tests of the page. Where there is no chromium, its suites say so and are skipped. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe } from '@jest/globals';
import axe from 'axe-core';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { skipSuite } from './skip-suite.ts';

const CANDIDATES = [process.env.VARVE_TEST_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'];
/** How long something may take to appear, in ms: two suites share the cores. */
const APPEAR_LIMIT_MS = 15_000;
/** What chromium says by itself of an answer that is a refusal; nobody can keep it from doing so. */
const REFUSED = /^Failed to load resource: the server responded with a status of (?:4|5)\d\d/;

export interface TestPage {
  readonly page: Page;
  /** Every message of the console, fault of a script and breach of the policy so far, but for answers that are refusals. */
  complaints(): string[];
  /** What axe-core finds wrong in what is shown: a line each, rule and elements. */
  inaccessible(): Promise<string[]>;
  close(): Promise<void>;
}

/** Opens an empty page of a fresh profile. */
export type OpenPage = (options?: BrowserContextOptions) => Promise<TestPage>;

/** A suite that needs a browser, which it starts and ends; skipped, and said so, where there is none. */
export function describeBrowser(name: string, suite: (open: OpenPage) => void): void {
  const executablePath = CANDIDATES.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) return skipSuite(name, 'no chromium', 'VARVE_TEST_NO_SKIP');
  describe(name, () => {
    let browser: Browser;
    beforeAll(async () => {
      // Whoever runs as root has no sandbox to be put in; containers have little shared memory.
      browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
    });
    afterAll(async () => {
      await browser.close();
    });
    suite((options) => openPage(browser, options));
  });
}

async function openPage(browser: Browser, options?: BrowserContextOptions): Promise<TestPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(APPEAR_LIMIT_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (!REFUSED.test(message.text())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`fault: ${error.stack ?? error.message}`));
  return {
    page,
    complaints: () => [...complaints],
    async inaccessible() {
      // Evaluated, not added as an element: the policy of the page allows no foreign script.
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
    },
    close: () => context.close(),
  };
}
