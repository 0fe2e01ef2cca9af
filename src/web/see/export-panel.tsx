/** What is seen as a file, and as a line that reads it. */
import { useSignal } from '@preact/signals';
import { FILE_FORMATS, LINE_LANGUAGES, lineToRead, readPath, type SeenSamples } from './read-lines.ts';
import { SeeDialog, type PanelProps } from './see-dialog.tsx';
import type { SeeModel } from './see-model.ts';
import { instantText, spanText } from './time-ticks.ts';
import { viewLength, type ViewWindow } from './view-window.ts';

/** Buckets of a file of what is drawn. */
const DRAWN_POINTS = 2_000;
/** Series that are listed. */
const MAX_SERIES = 50;

export function ExportPanel({ model, close }: PanelProps) {
  const isDrawn = useSignal(false);
  const copied = useSignal<string | null>(null);
  const selection = model.selection.value;
  const view = selection && selection.endNs > selection.startNs ? selection : model.view.value;
  const seen = seenIn(model, view, isDrawn.value ? DRAWN_POINTS : null);
  const copy = (text: string): void =>
    void navigator.clipboard.writeText(text).then(
      () => (copied.value = text),
      () => (copied.value = null),
    );
  return (
    <SeeDialog title={selection ? 'Export the chosen span' : 'Export what is seen'} close={close}>
      <p class="see-export-span">
        {instantText(view.startNs)} to {instantText(view.endNs)} ({spanText(viewLength(view))})
      </p>
      <fieldset class="see-group">
        <legend>Rows</legend>
        <label>
          <input type="radio" name="see-rows" checked={!isDrawn.value} onChange={() => (isDrawn.value = false)} /> every
          sample
        </label>
        <label>
          <input type="radio" name="see-rows" checked={isDrawn.value} onChange={() => (isDrawn.value = true)} />{' '}
          {DRAWN_POINTS} spans: minimum, maximum, mean
        </label>
      </fieldset>
      {seen.slice(0, MAX_SERIES).map(({ name, samples }) => (
        <section key={samples.seriesId} class="see-export">
          <h3>{name}</h3>
          <p class="see-group">
            {FILE_FORMATS.filter((format) => format !== 'hdf5' || !isDrawn.value).map((format) => (
              <a
                key={format}
                class="see-file"
                href={`${model.api.base}${readPath(samples, format)}`}
                download={fileName(name, format)}
              >
                {format === 'hdf5' ? 'HDF5' : format === 'csv' ? 'CSV' : 'npy'}
              </a>
            ))}
          </p>
          {LINE_LANGUAGES.map((language) => {
            const line = lineToRead(language, location.origin, samples);
            return (
              <div key={language} class="see-line">
                <b>{language}</b>
                <code tabIndex={0}>{line}</code>
                <button type="button" onClick={() => copy(line)} aria-label={`Copy the line for ${language}`}>
                  {copied.value === line ? 'Copied' : 'Copy'}
                </button>
              </div>
            );
          })}
        </section>
      ))}
      {seen.length > MAX_SERIES && <p>{seen.length - MAX_SERIES} more series are not listed.</p>}
    </SeeDialog>
  );
}

function seenIn(model: SeeModel, view: ViewWindow, points: number | null): { name: string; samples: SeenSamples }[] {
  const shown = new Map<string, string[]>();
  for (const { source, channel } of model.shownLanes.value) {
    const { id, channels } = source.series;
    shown.set(id, [...(shown.get(id) ?? []), channels[channel].label]);
  }
  return [...shown].map(([seriesId, labels]) => {
    const series = model.sourceOf(seriesId)?.series;
    const isWhole = labels.length === series?.channels.length;
    return { name: series?.name ?? seriesId, samples: { seriesId, channels: isWhole ? null : labels, view, points } };
  });
}

function fileName(name: string, format: string): string {
  return `${name.replaceAll(/[^\w.-]+/g, '_')}.${format === 'hdf5' ? 'h5' : format}`;
}
