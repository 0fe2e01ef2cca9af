/** Independent judges of shards: h5dump, and h5py in one process that is fed paths. */
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { Finding } from './finding.ts';

const run = promisify(execFile);
const PYTHON = process.env.VARVE_TEST_PYTHON ?? '/usr/bin/python3';

/** Reads tasks, one a line; answers each with what it found, or with what kept it from looking. */
const SCRIPT = `
import sys, json, zlib, h5py
for line in sys.stdin:
    task = json.loads(line)
    try:
        found = {}
        with h5py.File(task["path"], "r") as f:
            for series in f["series"]:
                json.loads(f["series"][series].attrs["varve"])
                if "values" in f["series"][series]: f["series"][series]["values"].shape
            for series, ranges in task["ranges"].items():
                g = f["series"][series]
                record = json.loads(g.attrs["varve"])
                known = {"name": record["series"]["name"], "level": int(f.attrs["level"]), "extent": int(g["values"].shape[0])}
                for name in ["values", "time"]:
                    if name not in g: continue
                    known["extent"] = min(known["extent"], int(g[name].shape[0]))
                    crc = 0
                    for a, b in ranges: crc = zlib.crc32(g[name][a:b].tobytes(), crc)
                    known["values_crc" if name == "values" else "times_crc"] = crc
                found[series] = known
        print(json.dumps({"found": found}), flush=True)
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
`;

export interface ShardSeries {
  readonly name: string;
  /** Level of the shard. 0: made by a flush; 1: by compaction. */
  readonly level: number;
  readonly extent: number;
  readonly values_crc: number;
  readonly times_crc?: number;
}

type Range = readonly [from: number, to: number];

export class Hdf5Judge {
  readonly #python: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;

  constructor() {
    this.#python = spawn(PYTHON, ['-c', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#python.on('error', () => {}); // then there is no answer
    this.#lines = createInterface(this.#python.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /**
   * What h5py finds of some series in a shard; of the others it reads the attributes.
   * @param rows which rows of the datasets the checksums go over: ranges, or the first so many
   * @throws Finding if h5dump or h5py cannot read the file
   */
  async look(
    path: string,
    rows: Readonly<Record<string, number | readonly Range[]>>,
  ): Promise<Record<string, ShardSeries>> {
    await run('h5dump', ['-H', path], { maxBuffer: 64 * 1024 * 1024 }).catch((error: Error) => {
      throw new Finding(`h5dump cannot read ${path}: ${error.message}`);
    });
    const ranges = Object.fromEntries(
      Object.entries(rows).map(([id, which]) => [id, typeof which === 'number' ? [[0, which]] : which]),
    );
    this.#python.stdin.write(`${JSON.stringify({ path, ranges })}\n`);
    const line = await this.#answers.next();
    if (line.done) throw new Error(`${PYTHON} with h5py does not answer`);
    const { found, error } = JSON.parse(line.value) as { found?: Record<string, ShardSeries>; error?: string };
    if (!found) throw new Finding(`h5py cannot read ${path}: ${error}`);
    return found;
  }

  close(): void {
    this.#lines.close();
    this.#python.kill();
  }
}
