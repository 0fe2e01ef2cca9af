/** Series on a time line: lanes on a board, what can be done with them above it, what they are beside it. */
import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Api } from '../api.ts';
import { Link } from '../link.tsx';
import { Opened } from '../opened.tsx';
import type { UrlState } from '../url-state.ts';
import { listenToBoard, type PanelName } from './board-input.ts';
import { LaneBoard } from './lane-board.ts';
import { LaneList } from './lane-list.tsx';
import { MarkEditor } from './mark-editor.tsx';
import { MiniMap } from './mini-map.tsx';
import { ReadOut } from './read-out.tsx';
import { SeeModel } from './see-model.ts';
import { SeeToolbar } from './see-toolbar.tsx';

export interface SeeViewProps {
  readonly seriesIds: readonly string[];
  readonly api: Api;
  readonly url: UrlState;
}

const PANELS = {
  keys: async () => (await import('./keys-panel.tsx')).KeysPanel,
  export: async () => (await import('./export-panel.tsx')).ExportPanel,
  spectrum: async () => (await import('./spectrum-panel.tsx')).SpectrumPanel,
  table: async () => (await import('./table-panel.tsx')).TablePanel,
};

export function SeeView({ seriesIds, api, url }: SeeViewProps) {
  const key = seriesIds.join(',');
  const model = useMemo(() => new SeeModel(api, url, seriesIds), [key, api]);
  useEffect(() => () => model.close(), [model]);
  const panel = useSignal<PanelName | null>(null);
  const label = useRef<HTMLInputElement>(null);
  const editLabel = (): void => {
    // The editor is there once the mark that was chosen has been drawn.
    requestAnimationFrame(() => {
      label.current?.focus();
      label.current?.select();
    });
  };
  const open = (name: PanelName): void => void (panel.value = name);
  const isEmpty = useComputed(() => !model.isLoading.value && model.lanes.value.length === 0);
  if (seriesIds.length === 0) return <p class="see-empty">No series is chosen. Find some first.</p>;
  return (
    <section class="see" aria-label="Lanes">
      <Title model={model} url={url} />
      <SeeToolbar model={model} open={open} />
      {model.problem.value !== null && (
        <p class="see-problem" role="alert">
          {model.problem.value}
        </p>
      )}
      {isEmpty.value && model.problem.value === null && <p class="see-empty">There is nothing to be seen.</p>}
      <div class="see-body">
        <LaneList model={model} />
        <div class="see-main">
          <MiniMap model={model} />
          <Board model={model} open={open} editLabel={editLabel} />
          <ReadOut model={model} />
        </div>
      </div>
      <MarkEditor model={model} label={label} />
      {panel.value !== null && (
        <Opened
          key={panel.value}
          load={PANELS[panel.value]}
          props={{ model, close: () => void (panel.value = null) }}
          waiting={null}
        />
      )}
    </section>
  );
}

/** What is seen, and the way to what is known of it. */
function Title({ model, url }: { readonly model: SeeModel; readonly url: UrlState }) {
  void model.lanes.value;
  const [first, ...others] = [...model.sources].map(({ series }) => series);
  const name = first?.name ?? 'Lanes';
  return (
    <h1 class="see-title">
      {first && others.length === 0 ? (
        <Link url={url} to={{ view: 'series', series: first.id }}>
          {name}
        </Link>
      ) : (
        name
      )}
      {others.length > 0 && ` and ${others.length} more`}
    </h1>
  );
}

interface BoardProps {
  readonly model: SeeModel;
  readonly open: (panel: PanelName) => void;
  readonly editLabel: () => void;
}

function Board({ model, open, editLabel }: BoardProps) {
  const frame = useRef<HTMLDivElement>(null);
  const base = useRef<HTMLCanvasElement>(null);
  const front = useRef<HTMLCanvasElement>(null);
  const board = useSignal<LaneBoard | null>(null);
  useEffect(() => {
    const [element, below, above] = [frame.current, base.current, front.current];
    if (!element || !below || !above) return undefined;
    const made = new LaneBoard(below, above, model);
    const resized = new ResizeObserver(() => {
      made.resize({ width: element.clientWidth, height: element.clientHeight });
      model.revision.value = model.revision.peek() + 1;
    });
    resized.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const redraw = (): void => void (model.revision.value = model.revision.peek() + 1);
    dark.addEventListener('change', redraw);
    const themed = new MutationObserver(redraw);
    themed.observe(document.documentElement, { attributes: true });
    const stop = listenToBoard(element, made, model, { open, editLabel });
    board.value = made;
    return () => {
      stop();
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener('change', redraw);
      board.value = null;
    };
  }, [model]);
  // What is drawn is drawn once a frame, however often it has changed in between.
  const waiting = useRef({ all: 0, front: 0 });
  useSignalEffect(() => {
    const made = board.value;
    followed(model);
    if (!made) return;
    waiting.current.all ||= requestAnimationFrame(() => {
      waiting.current.all = 0;
      made.draw();
      const isBusy = model.isLoading.peek() || [...model.sources].some((source) => source.isBusy);
      frame.current?.setAttribute('aria-busy', String(isBusy));
    });
  });
  useSignalEffect(() => {
    const made = board.value;
    void [model.cursorNs.value, model.selection.value];
    if (!made) return;
    waiting.current.front ||= requestAnimationFrame(() => {
      waiting.current.front = 0;
      made.drawFront();
    });
  });
  return (
    <div
      class="see-board"
      ref={frame}
      tabIndex={0}
      role="application"
      aria-label="Board of lanes; press ? for its keys"
      aria-describedby="see-read-out"
    >
      <canvas class="see-base" ref={base} aria-hidden="true" />
      <canvas class="see-front" ref={front} aria-hidden="true" />
    </div>
  );
}

/** Reads everything that a frame hangs on. */
function followed(model: SeeModel): void {
  void [
    model.isLoading.value,
    model.revision.value,
    model.state.value,
    model.view.value,
    model.shownLanes.value,
    model.active.value,
    model.layer.value,
    model.hiddenLayers.value,
    model.selectedMark.value,
  ];
}
