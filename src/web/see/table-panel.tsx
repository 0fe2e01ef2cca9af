/** What is drawn as a table, for whoever cannot see it, or wants the numbers. */
import { SeeDialog, type PanelProps } from './see-dialog.tsx';
import type { Lane } from './lane-frame.ts';
import type { SeeModel } from './see-model.ts';
import { fullTime } from './time-ticks.ts';

/** More rows are not read by anybody; there is the export for them. */
const MAX_ROWS = 500;

interface ShownRow {
  readonly ns: bigint;
  readonly low: string;
  readonly high: string | null;
  readonly count: number;
}

export function TablePanel({ model, close }: PanelProps) {
  void model.revision.value;
  const lane = model.activeLane;
  const rows = lane ? rowsOf(model, lane) : [];
  const isBuckets = rows.some(({ high }) => high !== null);
  const unit = lane && lane.unit !== '' ? ` (${lane.unit})` : '';
  return (
    <SeeDialog title={`Values of ${lane?.label ?? 'no lane'}${unit}`} close={close}>
      <div class="see-table" tabIndex={0} role="region" aria-label="Values">
        <table>
          <thead>
            <tr>
              <th scope="col">Time</th>
              {isBuckets ? <th scope="col">Lowest</th> : <th scope="col">Value</th>}
              {isBuckets && <th scope="col">Highest</th>}
              {isBuckets && <th scope="col">Values</th>}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MAX_ROWS).map(({ ns, low, high, count }) => (
              <tr key={String(ns)}>
                <td>{fullTime(ns, model.timeStyle.value)}</td>
                <td>{low}</td>
                {isBuckets && <td>{high ?? low}</td>}
                {isBuckets && <td>{count}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p>
        {rows.length > MAX_ROWS
          ? `The first ${MAX_ROWS} of ${rows.length}; the export has all.`
          : `${rows.length} in view.`}
      </p>
    </SeeDialog>
  );
}

function rowsOf(model: SeeModel, { source, channel }: Lane): ShownRow[] {
  const view = model.view.value;
  const parts = source.shown({ view, columns: model.columns, lanes: model.shownLanes.value.length }, channel);
  return parts
    .toSorted((a, b) => (a.startNs < b.startNs ? -1 : 1))
    .flatMap(({ block, startNs, endNs }) => {
      const slot = block.channels.indexOf(channel);
      return Array.from(block.begins, (begin, i): ShownRow | null => {
        const ns = block.startNs + BigInt(begin);
        const value = block.lows[slot][i];
        if (Number.isNaN(value) || ns < startNs || ns >= endNs) return null;
        if (block.counts === null)
          return { ns, low: block.digits?.get(`${slot}:${i}`) ?? String(value), high: null, count: 1 };
        return { ns, low: String(value), high: String(block.highs[slot][i]), count: block.counts[i] };
      }).filter((each) => each !== null);
    });
}
