/** What can be done with the lanes as a whole. */
import type { PanelName } from './board-input.ts';
import type { SeeModel } from './see-model.ts';
import { spanText } from './time-ticks.ts';
import { panBy, viewLength, zoomAbout } from './view-window.ts';

interface SeeToolbarProps {
  readonly model: SeeModel;
  readonly open: (panel: PanelName) => void;
}

const KEY_STEP = 0.5;
/** Where the browser is. */
const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function SeeToolbar({ model, open }: SeeToolbarProps) {
  const state = model.state.value;
  const view = model.view.value;
  const zones = [...new Set([...[...model.sources].flatMap(({ series }) => series.time_zone ?? []), OWN_ZONE])].filter(
    (each) => each !== 'UTC',
  );
  const chosen = typeof state.time === 'object' ? state.time.zone : state.time;
  const { add, remove } = model.marks.book.unsaved();
  void model.revision.value;
  const unsaved = new Set([...add.map(({ key }) => key), ...remove.map(({ key }) => key)]).size;
  return (
    <div class="see-toolbar" role="toolbar" aria-label="Lanes">
      <div class="see-group">
        <button type="button" onClick={() => model.show(panBy(view, -KEY_STEP))} aria-label="Earlier">
          ‹
        </button>
        <button type="button" onClick={() => model.show(panBy(view, KEY_STEP))} aria-label="Later">
          ›
        </button>
        <button type="button" onClick={() => model.show(zoomAbout(view, 0.5, KEY_STEP))} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => model.show(zoomAbout(view, 0.5, 1 / KEY_STEP))} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={() => model.showAll()}>
          All
        </button>
        <span class="see-span">{spanText(viewLength(view))}</span>
      </div>
      <div class="see-group">
        <label class="see-choice">
          <span>Time</span>
          <select
            value={chosen}
            onChange={({ currentTarget: { value } }) =>
              model.change({ time: value === 'utc' || value === 'since' ? value : { zone: value } }, true)
            }
          >
            <option value="utc">UTC</option>
            {zones.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
            <option value="since">since the start</option>
          </select>
        </label>
        <label class="see-choice">
          <span>Lanes</span>
          <select
            value={state.layout}
            onChange={({ currentTarget: { value } }) =>
              model.change({ layout: value === 'butterfly' ? value : 'stacked' }, true)
            }
          >
            <option value="stacked">stacked</option>
            <option value="butterfly">over each other</option>
          </select>
        </label>
        <label class="see-choice">
          <span>Scale</span>
          <select
            value={state.scale}
            onChange={({ currentTarget: { value } }) =>
              model.change({ scale: value === 'shared' ? value : 'each' }, true)
            }
          >
            <option value="each">each its own</option>
            <option value="shared">one for all</option>
          </select>
        </label>
        <button
          type="button"
          aria-pressed={state.withoutLevel}
          onClick={() => model.change({ withoutLevel: !state.withoutLevel }, true)}
        >
          Without level
        </button>
        <button type="button" onClick={() => model.autoscale()}>
          Autoscale
        </button>
      </div>
      <div class="see-group">
        <button
          type="button"
          aria-pressed={model.tool.value === 'mark'}
          onClick={() => (model.tool.value = model.tool.peek() === 'mark' ? 'move' : 'mark')}
        >
          Annotate
        </button>
        <button
          type="button"
          disabled={!model.marks.book.canUndo}
          onClick={() => model.marks.edit((book) => book.undo())}
        >
          Undo
        </button>
        <button
          type="button"
          disabled={!model.marks.book.canRedo}
          onClick={() => model.marks.edit((book) => book.redo())}
        >
          Redo
        </button>
        <button
          type="button"
          class="see-save"
          disabled={unsaved === 0 || !model.marks.isLoaded}
          onClick={() => void model.saveMarks()}
        >
          {unsaved === 0 ? 'Saved' : `Save ${unsaved}`}
        </button>
      </div>
      <div class="see-group">
        <button type="button" class="see-live" aria-pressed={state.isLive} onClick={() => model.setLive(!state.isLive)}>
          Live
        </button>
        <button type="button" onClick={() => open('table')}>
          Values
        </button>
        <button type="button" onClick={() => open('spectrum')}>
          Spectrum
        </button>
        <button type="button" onClick={() => open('export')}>
          Export
        </button>
        <button type="button" onClick={() => open('keys')} aria-label="Keys">
          ?
        </button>
      </div>
    </div>
  );
}
