/** Lanes in a browser, over the service as its users run it. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { ApiClient, expecting, type SeriesJson } from '../api/client.ts';
import { describeBrowser, type TestPage } from '../support/browser.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';

const START = '2026-05-01T09:00:00Z';
const START_NS = BigInt(Date.parse(START)) * 1_000_000n;
const SECOND = 1_000_000_000n;
const RATE = 360;
/** Where pictures are kept, for whoever wants to look at them. */
const SHOTS = process.env.VARVE_TEST_SHOTS;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

/** A beat every second, on two channels. */
function beats(rows: number): Int16Array {
  return Int16Array.from({ length: rows * 2 }, (_, at) => {
    const [row, channel] = [at >> 1, at & 1];
    const phase = (row % RATE) / RATE;
    const peak = 900 * Math.exp(-(((phase - 0.3) / 0.012) ** 2)) + 160 * Math.exp(-(((phase - 0.55) / 0.04) ** 2));
    return Math.round((channel === 0 ? peak : -0.6 * peak) + 20 * Math.sin(row / 700) + ((row * 7919) % 13));
  });
}

async function createSeries(body: Record<string, unknown>): Promise<string> {
  return expecting(201, await api.post('/v1/series', body)).json<SeriesJson>().id;
}

async function append(id: string, rows: ArrayBufferView, start?: string): Promise<void> {
  const query = start === undefined ? '' : `?start=${encodeURIComponent(start)}`;
  const body = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  const headers = { 'content-type': 'application/octet-stream' };
  expecting(201, await api.send('POST', `/v1/series/${id}/samples${query}`, { headers, body }));
}

function at(seconds: number): string {
  return new Date(Date.parse(START) + seconds * 1000).toISOString();
}

/** Ten minutes of an electrocardiogram: a gap that was never written, and a part that was removed. */
async function createEcg(name: string): Promise<string> {
  const id = await createSeries({
    name,
    dtype: 'int16',
    scale: 0.005,
    channels: [
      { label: 'MLII', unit: 'mV' },
      { label: 'V5', unit: 'mV' },
    ],
    sampling: { kind: 'regular', rate_hz: RATE, start: START },
  });
  await append(id, beats(300 * RATE), START);
  await append(id, beats(240 * RATE), at(360));
  expecting(200, await api.send('DELETE', `/v1/series/${id}/samples?start=${at(120)}&end=${at(150)}`, {}));
  return id;
}

async function createWide(name: string, channels: number, rows: number): Promise<string> {
  const id = await createSeries({
    name,
    dtype: 'float32',
    unit: 'uV',
    channels: Array.from({ length: channels }, (_, c) => ({ label: `E${c + 1}` })),
    sampling: { kind: 'regular', rate_hz: 250, start: START },
  });
  const values = Float32Array.from({ length: rows * channels }, (_, at) => {
    const [row, channel] = [Math.floor(at / channels), at % channels];
    return 40 * Math.sin(row / (9 + channel / 3)) + 15 * Math.sin(row / 1.7 + channel) + ((row * 31 + channel) % 7);
  });
  await append(id, values, START);
  return id;
}

const EVENTUALLY_MS = 10_000;

/** What the page does by itself takes its time: it has to be so in the end. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const until = Date.now() + EVENTUALLY_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

describeBrowser('lanes', (open) => {
  let shown: TestPage;
  let page: Page;
  let ecg: string;

  beforeAll(async () => {
    ecg = await createEcg('mouse-12/ecg');
    shown = await open();
    ({ page } = shown);
    await page.context().request.post(`${service.url}/v1/session`, { data: { token: service.token } });
  });
  afterAll(async () => {
    await shown?.close();
  });

  async function see(ids: readonly string[], parameters: Record<string, string> = {}): Promise<void> {
    const query = new URLSearchParams({ view: 'see', series: ids.join(','), ...parameters });
    await page.goto(`${service.url}/?${query.toString()}`);
    await page.locator('.see-board').waitFor();
    await settled();
  }

  /** Waits until nothing is under way any more, and what has come is drawn. */
  async function settled(): Promise<void> {
    for (let frames = 0; frames < 2; frames++) {
      await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
      await page.locator('.see-board[aria-busy="false"]').waitFor();
    }
  }

  async function shot(name: string): Promise<void> {
    if (SHOTS === undefined) return;
    await mkdir(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  }

  /** The view, as the address has it. */
  async function viewSeen(): Promise<{ from: bigint; to: bigint }> {
    await page.waitForURL((url) => url.searchParams.has('from'));
    const query = new URL(page.url()).searchParams;
    return { from: BigInt(query.get('from') ?? ''), to: BigInt(query.get('to') ?? '') };
  }

  test('show a recording as a whole, and say why there is nothing in its gaps', async () => {
    await see([ecg]);
    await shot('whole');
    const board = page.locator('.see-board');
    const box = (await board.boundingBox())!;
    const saidAt = async (seconds: number): Promise<string> => {
      const [from, to] = [START_NS - 12n * SECOND, START_NS + 612n * SECOND];
      const part = Number(START_NS + BigInt(seconds) * SECOND - from) / Number(to - from);
      await page.mouse.move(box.x + 133 + (box.width - 135) * part, box.y + box.height / 2);
      await settled();
      return (await page.locator('.see-read-out').textContent()) ?? '';
    };
    expect(await saidAt(330)).toContain('never written');
    expect(await saidAt(135)).toContain('removed');
    expect(await saidAt(60)).toMatch(/MLII .* … .* mV \(\d+ values\)/);
  });

  test('show the samples that the service answers, once there are few of them, in the table and at the cursor', async () => {
    const [from, to] = [START_NS + 30n * SECOND, START_NS + 30n * SECOND + SECOND / 4n];
    await see([ecg], { from: String(from), to: String(to) });
    await shot('samples');
    await page.getByRole('button', { name: 'Values' }).click();
    await page.locator('.see-table tbody tr').first().waitFor();
    const seen = await page
      .locator('.see-table tbody tr')
      .evaluateAll((rows) => rows.map((row) => row.children[1].textContent));
    const answer = expecting(
      200,
      await api.get(`/v1/series/${ecg}/samples?start=${from}&end=${to}&physical=true&channels=MLII&orient=channels`),
    );
    const { values } = answer.json<{ values: number[] | number[][] }>();
    const list = Array.isArray(values[0]) ? values[0] : (values as number[]);
    expect(seen).toEqual(list.map(String));
    expect(await shown.inaccessible()).toEqual([]);
    await shot('table');
    await page.keyboard.press('Escape');
  });

  test('move and zoom by wheel, drag and keys, and the address goes along', async () => {
    await see([ecg], { from: String(START_NS), to: String(START_NS + 60n * SECOND) });
    const board = page.locator('.see-board');
    await board.focus();
    await page.keyboard.press('ArrowRight');
    await page.waitForURL((url) => url.searchParams.get('from') === String(START_NS + 6n * SECOND));
    const box = (await board.boundingBox())!;
    await page.mouse.move(box.x + 600, box.y + 300);
    await page.mouse.wheel(0, -400);
    await page.waitForTimeout(250);
    const zoomed = await viewSeen();
    expect(zoomed.to - zoomed.from).toBeLessThan(35n * SECOND);
    await page.mouse.down();
    await page.mouse.move(box.x + 400, box.y + 300, { steps: 4 });
    await page.mouse.up();
    await page.waitForTimeout(250);
    const moved = await viewSeen();
    expect(moved.from).toBeGreaterThan(zoomed.from);
    expect(moved.to - moved.from).toBe(zoomed.to - zoomed.from);
    await settled();
    await shot('zoomed');
  });

  test('annotate by mouse and keys, undo, keep a draft over a reload, and save', async () => {
    const view = { from: String(START_NS), to: String(START_NS + 10n * SECOND) };
    await see([ecg], view);
    const board = page.locator('.see-board');
    const box = (await board.boundingBox())!;
    // A band in the strip above the lanes.
    await page.mouse.move(box.x + 400, box.y + 34);
    await page.mouse.down();
    await page.mouse.move(box.x + 520, box.y + 34, { steps: 3 });
    await page.mouse.up();
    await page.locator('.see-mark-label').fill('artefact');
    await page.keyboard.press('Enter');
    // A flag by keys alone.
    await board.focus();
    await page.keyboard.press('.');
    await page.keyboard.press('a');
    await page.locator('.see-mark-label').fill('beat');
    await page.keyboard.press('Enter');
    const count = page.locator('.see-marks-count');
    expect(await count.textContent()).toBe('2 annotations');
    await shot('annotated');
    await board.focus();
    await page.keyboard.press('Control+z');
    await page.keyboard.press('Control+z');
    expect(await count.textContent()).toBe('1 annotation');
    await page.keyboard.press('Control+Shift+z');
    await page.keyboard.press('Control+Shift+z');

    await page.reload();
    await page.getByRole('button', { name: 'Save 2' }).click();
    await page.getByRole('button', { name: 'Saved' }).waitFor();
    const { items } = expecting(200, await api.get(`/v1/series/${ecg}/annotations`)).json<{
      items: { label: string; start: string; end: string }[];
    }>();
    expect(items.map(({ label }) => label).sort()).toEqual(['artefact', 'beat']);
    const artefact = items.find(({ label }) => label === 'artefact')!;
    expect(BigInt(artefact.end) - BigInt(artefact.start)).toBeGreaterThan(SECOND / 2n);
    await board.focus();
    await page.keyboard.press('Control+z');
    await page.getByRole('button', { name: 'Save 1' }).waitFor();
    expect(await shown.inaccessible()).toEqual([]);
    await page.keyboard.press('Control+Shift+z');
  });

  test('of many channels lie below or over each other, are hidden, marked bad, and all of it is in the address', async () => {
    const wide = await createWide('eeg-64', 64, 5_000);
    await see([wide]);
    await shot('lanes-64');
    const board = page.locator('.see-board');
    await board.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('b');
    await settled();
    await eventually(async () => {
      const { channels } = expecting(200, await api.get(`/v1/series/${wide}`)).json<{
        channels: { label: string; bad?: boolean }[];
      }>();
      expect(channels.filter(({ bad }) => bad).map(({ label }) => label)).toEqual(['E2']);
    });
    await page.keyboard.press('h');
    await page.keyboard.press('d');
    await page.keyboard.press('v');
    await page.waitForURL((url) => url.searchParams.get('layout') === 'butterfly');
    await eventually(async () => {
      expect(page.url()).toContain('hide=0.1');
      expect(await page.locator('.see-lanes summary').textContent()).toBe('63 of 64 lanes');
    });
    await settled();
    await shot('butterfly');
    await page.goBack();
    await eventually(async () => {
      expect(await page.locator('.see-toolbar select').nth(1).inputValue()).toBe('stacked');
    });
    await page.locator('.see-lanes summary').click();
    await shot('lane-list');
    await page.getByLabel('Filter lanes').fill('E1');
    expect(await shown.inaccessible()).toEqual([]);
  });

  test('have a spectrum, and files and lines that read them', async () => {
    await see([ecg], { from: String(START_NS), to: String(START_NS + 60n * SECOND) });
    await page.locator('.see-board').focus();
    await page.keyboard.press('w');
    await page
      .getByText(/Most power at/)
      .first()
      .waitFor();
    await shot('spectrum');
    expect(await shown.inaccessible()).toEqual([]);
    await page.keyboard.press('Escape');
    await page.keyboard.press('e');
    const link = await page.locator('.see-file').first().getAttribute('href');
    const file = await page.evaluate(async (href) => (await fetch(href)).text(), link!);
    expect(file.split('\n', 2)[1]).toMatch(/^2026-05-01T09:00:00Z,/);
    await shot('export');
    expect(await shown.inaccessible()).toEqual([]);
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.getByText('Keys of the board').waitFor();
    await shot('keys');
  });

  test('that are being written go along by themselves', async () => {
    const id = await createSeries({
      name: 'live',
      dtype: 'float32',
      unit: 'V',
      sampling: { kind: 'regular', rate_hz: 50, start: START },
    });
    await append(id, new Float32Array(500).fill(1), START);
    await see([id], { live: '1' }).catch(() => {});
    const before = await viewSeen();
    await append(
      id,
      Float32Array.from({ length: 500 }, (_, i) => Math.sin(i / 10)),
    );
    await page.waitForURL((url) => BigInt(url.searchParams.get('to') ?? 0) > before.to);
    const after = await viewSeen();
    expect(after.to - before.to).toBe(10n * SECOND);
    await shot('live');
  });

  test('complain of nothing', () => {
    expect(shown.complaints()).toEqual([]);
  });
});
