/** The lanes beside the board: which are shown, which are bad, how much they are amplified. */
import { useSignal } from '@preact/signals';
import type { Lane } from './lane-frame.ts';
import type { SeeModel } from './see-model.ts';

const STEP = 1.5;
/** More lanes are not listed at once: who looks for one, filters. */
const MAX_LISTED = 200;

export function LaneList({ model }: { readonly model: SeeModel }) {
  const filter = useSignal('');
  const isOpen = useSignal(false);
  const wanted = filter.value.toLowerCase();
  const found = model.lanes.value.filter(({ label }) => label.toLowerCase().includes(wanted));
  const shown = model.shownLanes.value.length;
  return (
    <details
      class="see-lanes"
      open={isOpen.value}
      onToggle={({ currentTarget }) => (isOpen.value = currentTarget.open)}
    >
      <summary>
        {shown === model.lanes.value.length
          ? `${shown} ${shown === 1 ? 'lane' : 'lanes'}`
          : `${shown} of ${model.lanes.value.length} lanes`}
      </summary>
      {isOpen.value && (
        <>
          <div class="see-lanes-head">
            <input
              type="search"
              aria-label="Filter lanes"
              placeholder="Filter"
              value={filter.value}
              onInput={({ currentTarget }) => (filter.value = currentTarget.value)}
            />
            <button type="button" onClick={() => model.change({ hidden: new Set() })}>
              Show all
            </button>
          </div>
          <ul>
            {found.slice(0, MAX_LISTED).map((lane) => (
              <LaneItem key={lane.name} model={model} lane={lane} />
            ))}
          </ul>
          {found.length > MAX_LISTED && <p>{found.length - MAX_LISTED} more: filter to see them.</p>}
        </>
      )}
    </details>
  );
}

function LaneItem({ model, lane }: { readonly model: SeeModel; readonly lane: Lane }) {
  const { name, label, unit, isBad } = lane;
  const isHidden = model.state.value.hidden.has(name);
  const gain = model.state.value.gains.get(name) ?? 1;
  return (
    <li class={isBad ? 'see-lane see-lane-bad' : 'see-lane'} data-hue={lane.hue % 6}>
      <label>
        <input type="checkbox" checked={!isHidden} onChange={() => model.hide(name, !isHidden)} />
        <span class="see-lane-name">{label}</span>
        <span class="see-lane-unit">{unit}</span>
      </label>
      <span class="see-lane-tools">
        <button type="button" aria-label={`− ${label}: smaller`} onClick={() => model.amplify(name, 1 / STEP)}>
          −
        </button>
        <button
          type="button"
          aria-label={`${Number(gain.toPrecision(2))}×, ${label}: as it fits`}
          onClick={() => model.amplify(name, null)}
        >
          {Number(gain.toPrecision(2))}×
        </button>
        <button type="button" aria-label={`+ ${label}: larger`} onClick={() => model.amplify(name, STEP)}>
          +
        </button>
        <button
          type="button"
          aria-pressed={isBad}
          aria-label={`bad: ${label}`}
          onClick={() => void model.markBad(lane, !isBad)}
        >
          bad
        </button>
      </span>
    </li>
  );
}
