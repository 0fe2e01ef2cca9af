/** The series of the catalog in VictoriaMetrics: their texts, numbers and booleans as labels, and one sample each. */
import type pg from 'pg';
import { settledDiskMb } from './peers/files.ts';
import type { StartedService } from './peers/service.ts';
import { startVictoriaMetrics } from './peers/victoria-metrics.ts';

const SERIES_AT_ONCE = 10_000;
/** Time of all samples: 2026-05-01. */
const AT_S = 1_777_593_600;

export class VictoriaSearch {
  readonly #started: StartedService;

  private constructor(started: StartedService) {
    this.#started = started;
  }

  /** @returns null if it is not installed here */
  static async start(folder: string, client: pg.Client, log: (line: string) => void): Promise<VictoriaSearch | null> {
    const started = await startVictoriaMetrics(folder, [
      '-search.maxSeries=10000000',
      '-search.maxUniqueTimeseries=10000000',
    ]);
    if (!started) {
      log('no VictoriaMetrics here: it needs victoria-metrics (Debian: victoria-metrics)');
      return null;
    }
    const { url, http, version } = started;
    const begin = performance.now();
    let after = '00000000-0000-0000-0000-000000000000';
    for (;;) {
      const { rows } = await client.query<{ id: string; tags: Record<string, unknown> }>(
        'select id, tags from peer where id > $1 order by id limit $2',
        [after, SERIES_AT_ONCE],
      );
      if (rows.length === 0) break;
      after = rows.at(-1)!.id;
      const lines = rows.map(({ id, tags }) => `recording{${labelsOf(id, tags)}} 1 ${AT_S * 1000}\n`);
      await http.expect(`${url}/api/v1/import/prometheus`, { method: 'POST', body: lines.join('') });
    }
    await http.expect(`${url}/internal/force_flush`);
    log(
      `${((performance.now() - begin) / 1000).toFixed(1)} s  VictoriaMetrics ${version}, ${Math.round(await settledDiskMb(started.folder))} MB`,
    );
    return new VictoriaSearch(started);
  }

  /** @param selectors any of which a series has to match; or a path. It answers all of them: there are no pages. @throws if nothing is found */
  async ask(selectors: readonly string[] | string): Promise<void> {
    const { url, http } = this.#started;
    const path =
      typeof selectors === 'string'
        ? `${selectors}&`
        : `/api/v1/series?${selectors.map((each) => `match[]=${encodeURIComponent(each)}&`).join('')}`;
    const answer = await http.expect(`${url}${path}start=${AT_S - 1}&end=${AT_S + 1}&limit=100`);
    const { data } = JSON.parse(answer.toString()) as { data: unknown[] };
    if (data.length === 0) throw new Error(`${path}: nothing found`);
  }

  async stop(): Promise<void> {
    this.#started.http.close();
    await this.#started.program.stop();
  }
}

function labelsOf(id: string, tags: Record<string, unknown>): string {
  const scalars = Object.entries(tags).filter(([, value]) => typeof value !== 'object');
  return [['id', id], ...scalars].map(([key, value]) => `${key}=${JSON.stringify(String(value))}`).join(',');
}
