/** The example for Python users, run as they would. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../support/project-root.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient } from './client.ts';

const ROWS = 2500;

describePython('docs/examples/read_samples.py', ['numpy', 'pandas', 'h5py'], (python) => {
  let database: TestDatabase;
  let service: RunningService;
  let id: string;
  let irregular: string;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'varve-python-'));
    database = await testDatabase();
    service = await startService({ env: { DATABASE_URL: database.url } });
    const api = new ApiClient(service);
    const sampling = { kind: 'regular', rate_hz: 250, start: '2026-05-01T09:00:00Z' };
    const channels = [{ label: 'MLII' }, { label: 'V5', scale: 2 }];
    id = (await api.createSeries({ name: 'ecg', dtype: 'int16', channels, scale: 0.5, sampling })).id;
    await api.append(id, { values: Array.from({ length: ROWS }, (_, row) => [row, -row]) });
    irregular = (await api.createSeries({ name: 'spikes', dtype: 'float32', sampling: { kind: 'irregular' } })).id;
    await api.append(irregular, { times: ['7', '3', '1777626000123456789'], values: [1.5, null, 2.5] });
  });

  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await service?.drop();
    await database?.drop();
  });

  /** The script's names, at a series. */
  const withSeries = (series: string, code: string): string =>
    `
import sys
sys.path.insert(0, ${JSON.stringify(join(projectRoot(), 'docs/examples'))})
sys.dont_write_bytecode = True
from read_samples import *
series = Series(${JSON.stringify(service.url)}, ${JSON.stringify(series)}, ${JSON.stringify(service.token)})
${code}`;

  test('prints what it found', () => {
    const script = `
import os, sys, runpy
os.environ["VARVE_TOKEN"] = ${JSON.stringify(service.token)}
sys.argv = ["read_samples.py", ${JSON.stringify(service.url)}, ${JSON.stringify(id)}]
runpy.run_path(${JSON.stringify(join(projectRoot(), 'docs/examples/read_samples.py'))}, run_name="__main__")`;
    expect(python(script).toString().trim().split('\n')).toEqual([
      `array: (${ROWS}, 2) int16`,
      `frame: ${ROWS} rows from 2026-05-01 09:00:00+00:00 to 2026-05-01 09:00:09.996000+00:00`,
      expect.stringMatching(/^MLII +624\.75$/),
      expect.stringMatching(/^V5 +-1249\.50$/),
      'pages: 3 equal to the array: True',
      "table: (101, 2) ['ecg:MLII', 'ecg:V5']",
    ]);
  });

  test('reads irregular series to the nanosecond', () => {
    const code = `
print(series.array()["time"].tolist(), series.array()["values"].ravel().tolist())
print([t.value for t in series.frame().index], series.frame()["value"].tolist())
print([len(page) for page in series.pages(rows_per_page=2)])`;
    expect(python(withSeries(irregular, code)).toString().trim().split('\n')).toEqual([
      '[3, 7, 1777626000123456789] [nan, 1.5, 2.5]',
      '[3, 7, 1777626000123456789] [nan, 1.5, 2.5]',
      '[2, 1]',
    ]);
  });

  test('puts many series into one frame', () => {
    const code = `
frame = table(series.server, series.headers["Authorization"][7:], where={"field": "name", "in": ["ecg", "spikes"]}, latest=1)
print(frame["name"].tolist(), frame["channel"].tolist(), frame["value"].tolist())
wide = table(series.server, series.headers["Authorization"][7:], series=[series.path.split("/")[3], ${JSON.stringify(irregular)}],
             form="wide", as_of={"every": "4ms", "tolerance": "1ms", "direction": "nearest"}, start="2026-05-01T09:00:00Z", end="2026-05-01T09:10:00Z")
print(wide.shape, wide["spikes"].dropna().tolist(), wide.iloc[250].tolist()[:2])`;
    expect(python(withSeries(id, code)).toString().trim().split('\n')).toEqual([
      "['ecg', 'ecg', 'spikes'] ['MLII', 'V5', 'value'] [2499.0, -2499.0, 2.5]",
      '(150000, 3) [2.5] [250.0, -250.0]',
    ]);
  });

  test('saves a file that h5py and pandas open', () => {
    const code = `
import h5py
filename = ${JSON.stringify(join(folder, 'selection.h5'))}
series.save_hdf5(filename, rows="10:12")
with h5py.File(filename) as f:
    group = f["ecg"]
    series_id = group.attrs["series"]
    frame = pd.DataFrame(group["values"][()], index=pd.to_datetime(group["time"][()]))
print(series_id, frame.index[1], frame.iloc[1].tolist())`;
    expect(python(withSeries(id, code)).toString().trim()).toBe(`${id} 2026-05-01 09:00:00.044000 [11, -11]`);
  });
});
