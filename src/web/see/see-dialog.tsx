/** A panel over the lanes; Escape and the button close it. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { SeeModel } from './see-model.ts';

export interface PanelProps {
  readonly model: SeeModel;
  readonly close: () => void;
}

interface SeeDialogProps {
  readonly title: string;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

export function SeeDialog({ title, close, children }: SeeDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog class="see-dialog" ref={dialog} onClose={close} aria-labelledby="see-dialog-title">
      <header>
        <h2 id="see-dialog-title">{title}</h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      {children}
    </dialog>
  );
}
