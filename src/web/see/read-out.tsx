/** What the lanes show at the cursor, in words and numbers. */
import { useComputed } from '@preact/signals';
import { gapAt, GAP_TEXT } from './data-gaps.ts';
import type { Lane } from './lane-frame.ts';
import type { SeeModel } from './see-model.ts';
import { fullTime } from './time-ticks.ts';
import { centredOn, timeAtPart } from './view-window.ts';

/** Values of so many lanes are told; those of all others by the table. */
const MAX_TOLD = 8;
/** Digits of the lowest and the highest of many values; a single one has all of its digits. */
const BUCKET_DIGITS = 6;

export function ReadOut({ model }: { readonly model: SeeModel }) {
  const told = useComputed(() => {
    void model.revision.value;
    const ns = model.cursorNs.value ?? timeAtPart(model.view.value, 0.5);
    const lanes = model.shownLanes.value;
    const first = Math.min(model.active.value, Math.max(0, lanes.length - MAX_TOLD));
    return {
      time: lanes.length === 0 ? '' : fullTime(ns, model.timeStyle.value),
      values: lanes.slice(first, first + MAX_TOLD).map((lane) => ({ lane, text: textAt(model, lane, ns) })),
    };
  });
  return (
    <output class="see-read-out" id="see-read-out" aria-live="polite">
      <span class="see-read-time">{told.value.time}</span>
      {told.value.values.map(({ lane, text }) => (
        <span key={lane.name} class="see-read-value" data-hue={lane.hue % 6}>
          <b>{lane.label}</b> {text}
        </span>
      ))}
    </output>
  );
}

function textAt(model: SeeModel, lane: Lane, ns: bigint): string {
  const read = model.readAt(lane, ns);
  if (read) {
    const unit = lane.unit === '' ? '' : ` ${lane.unit}`;
    return read.count === 1
      ? `${read.texts[0]}${unit}`
      : `${read.texts.map((each) => Number(Number(each).toPrecision(BUCKET_DIGITS))).join(' … ')}${unit} (${read.count} values)`;
  }
  if (lane.source.failure !== null) return lane.source.failure;
  const gaps = lane.source.gapsWithin(centredOn({ startNs: ns, endNs: ns + 16n }, ns));
  const gap = gapAt(gaps, ns);
  return gap ? GAP_TEXT[gap.reason] : lane.source.isBusy ? '…' : 'no value';
}
