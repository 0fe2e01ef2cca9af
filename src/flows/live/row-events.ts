/** Rows of a plan as events: those of each run of numbers together, as `GET …/samples` answers them in JSON. */
import type { SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import type { OutBatch, OutShape } from '../../core/signal/batch.ts';
import { later } from '../../core/rows/live-position.ts';
import { WIRE_FORMATS } from '../../formats/samples/wire-formats.ts';
import type { ReadPlan } from '../read/plan-samples.ts';
import { rowBatches } from '../read/print-samples.ts';
import { rowsTask, type ReadDeps } from '../read/read-samples.ts';

export interface RowsToTell {
  readonly snapshot: SampleSnapshot;
  readonly plan: ReadPlan;
  /** Channels by number; null: all. */
  readonly selected: readonly number[] | null;
  readonly physical: boolean;
  readonly unit?: string | null;
  /** Rows up to this time are late; null: none is. */
  readonly latestNs: bigint | null;
  readonly signal: AbortSignal;
}

export interface RowEvent {
  readonly rows: number;
  readonly late: number;
  readonly latestNs: bigint | null;
  readonly json: string;
}

/** Rows of one event. They are few: their number is limited by whoever plans them. */
export async function rowEvents(
  deps: Pick<ReadDeps, 'root' | 'codec' | 'files'>,
  { snapshot, plan, selected, physical, unit, latestNs, signal }: RowsToTell,
): Promise<RowEvent[]> {
  if (plan.rows === 0) return [];
  const task = rowsTask(deps, snapshot, plan, { selected, physical, unit, next: null });
  if (task.sections.some(({ kind }) => kind === 'disordered')) {
    // Many rows that lie out of order are put in order in a thread.
    const json = await textOf(deps.codec.stream('print', { ...task, format: 'json' as const }, signal));
    const times = (JSON.parse(json) as { times: string[] }).times.map(BigInt);
    return [{ ...measured(times, latestNs), json }];
  }
  const events: RowEvent[] = [];
  let run: OutBatch[] = [];
  const end = async (): Promise<void> => {
    if (run.length > 0) events.push(await eventOf(run, task.shape, latestNs));
    run = [];
  };
  for await (const batch of rowBatches(task, deps.files, true)) {
    const last = run.at(-1);
    const isNext = !last || task.shape.firstRow === null || last.firstRow + last.rows === batch.firstRow;
    if (!isNext) await end();
    run.push(batch);
  }
  await end();
  return events;
}

async function eventOf(run: readonly OutBatch[], shape: OutShape, latestNs: bigint | null): Promise<RowEvent> {
  const firstRow = shape.firstRow === null ? null : run[0].firstRow;
  const rows = run.reduce((sum, batch) => sum + batch.rows, 0);
  const times = run.flatMap((batch) => [...batch.times!]);
  const encoded = WIRE_FORMATS.json.encode(each(run), { ...shape, firstRow, totalRows: rows });
  return { ...measured(times, latestNs), json: await textOf(encoded) };
}

function measured(times: readonly bigint[], latestNs: bigint | null): Omit<RowEvent, 'json'> {
  const late = latestNs === null ? 0 : times.filter((ns) => ns <= latestNs).length;
  return { rows: times.length, late, latestNs: times.reduce<bigint | null>((latest, ns) => later(latest, ns), null) };
}

// oxlint-disable-next-line typescript/require-await -- what is read asynchronously elsewhere is here already
async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(Uint8Array.from(piece));
  return Buffer.concat(parts).toString();
}
