/** What keys do. */
import { KEY_HELP } from './board-input.ts';
import { SeeDialog, type PanelProps } from './see-dialog.tsx';

export function KeysPanel({ close }: PanelProps) {
  return (
    <SeeDialog title="Keys of the board" close={close}>
      <dl class="see-keys">
        {KEY_HELP.map(([keys, does]) => (
          <div key={keys}>
            <dt>{keys}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p>
        Drag to move, turn the wheel to zoom, drag with Shift to choose a span. In the strips above the lanes, click for
        a flag and drag for a band.
      </p>
    </SeeDialog>
  );
}
