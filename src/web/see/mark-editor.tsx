/** The chosen annotation: its label, layer and times; and the layers that there are. */
import type { RefObject } from 'preact';
import type { SeeModel } from './see-model.ts';
import { instantText, nsOfInstant, spanText } from './time-ticks.ts';

interface MarkEditorProps {
  readonly model: SeeModel;
  readonly label: RefObject<HTMLInputElement | null>;
}

export function MarkEditor({ model, label }: MarkEditorProps) {
  void model.revision.value;
  const { marks } = model.marks.book;
  const key = model.selectedMark.value;
  const mark = key === null ? undefined : marks.get(key);
  const layers = [...new Set([...marks.layers(), model.layer.value])].sort();
  const toBoard = (): void => document.querySelector<HTMLElement>('.see-board')?.focus();
  return (
    <div class="see-marks" role="group" aria-label="Annotations">
      <span class="see-marks-count">
        {marks.size} {marks.size === 1 ? 'annotation' : 'annotations'}
      </span>
      {layers.map((layer) => (
        <label key={layer} class="see-layer">
          <input
            type="checkbox"
            checked={!model.hiddenLayers.value.has(layer)}
            onChange={({ currentTarget }) => showLayer(model, layer, currentTarget.checked)}
          />
          {layer}
        </label>
      ))}
      <label class="see-choice">
        <span>New ones in</span>
        <input
          class="see-layer-name"
          list="see-layers"
          value={model.layer.value}
          onChange={({ currentTarget: { value } }) => value.trim() !== '' && (model.layer.value = value.trim())}
        />
      </label>
      <datalist id="see-layers">
        {layers.map((layer) => (
          <option key={layer} value={layer} />
        ))}
      </datalist>
      {mark && (
        <form class="see-mark" onSubmit={(event) => (event.preventDefault(), toBoard())}>
          <label class="see-choice">
            <span>Label</span>
            <input
              ref={label}
              class="see-mark-label"
              required
              maxLength={512}
              value={mark.label}
              onChange={({ currentTarget: { value } }) =>
                value.trim() !== '' && model.changeMark(mark.key, { label: value.trim() })
              }
            />
          </label>
          <label class="see-choice">
            <span>From</span>
            <input
              class="see-mark-time"
              value={instantText(mark.startNs)}
              onChange={({ currentTarget: { value } }) =>
                setTimes(
                  model,
                  mark.key,
                  nsOfInstant(value),
                  mark.endNs === mark.startNs ? nsOfInstant(value) : mark.endNs,
                )
              }
            />
          </label>
          <label class="see-choice">
            <span>to</span>
            <input
              class="see-mark-time"
              value={instantText(mark.endNs)}
              onChange={({ currentTarget: { value } }) => setTimes(model, mark.key, mark.startNs, nsOfInstant(value))}
            />
          </label>
          {mark.endNs > mark.startNs && <span class="see-span">{spanText(mark.endNs - mark.startNs)}</span>}
          <button type="button" onClick={() => model.removeMark(mark.key)}>
            Remove
          </button>
        </form>
      )}
    </div>
  );
}

function showLayer(model: SeeModel, layer: string, isShown: boolean): void {
  const hidden = new Set(model.hiddenLayers.peek());
  if (isShown) hidden.delete(layer);
  else hidden.add(layer);
  model.hiddenLayers.value = hidden;
}

/** Times that cannot be read, or that run backwards, change nothing. */
function setTimes(model: SeeModel, key: string, startNs: bigint | null, endNs: bigint | null): void {
  if (startNs !== null && endNs !== null && startNs <= endNs) model.changeMark(key, { startNs, endNs });
}
