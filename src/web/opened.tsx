/** A view whose script is loaded when it is opened. */
import { useSignal } from '@preact/signals';
import type { ComponentChildren, ComponentType, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { sentenceOf } from './api.ts';

/** What has been loaded is shown at once from then on. */
const loaded = new Map<unknown, unknown>();

interface OpenedProps<T> {
  /** The same function each time. */
  readonly load: () => Promise<ComponentType<T>>;
  readonly props: T;
  /** Is shown until the view is there. */
  readonly waiting: ComponentChildren;
}

export function Opened<T extends object>({ load, props, waiting }: OpenedProps<T>): JSX.Element {
  const view = useSignal({ of: load, is: loaded.get(load) as ComponentType<T> | undefined });
  const failure = useSignal<string | null>(null);
  useEffect(() => {
    failure.value = null;
    view.value = { of: load, is: loaded.get(load) as ComponentType<T> | undefined };
    if (view.value.is) return;
    load().then(
      (found) => {
        loaded.set(load, found);
        if (view.value.of === load) view.value = { of: load, is: found };
      },
      (error: unknown) => (failure.value = sentenceOf(error)),
    );
  }, [load]);
  const { of, is: View } = view.value;
  if (failure.value !== null) return <p class="notice notice-bad">This part of the page did not load. {failure}</p>;
  return View && of === load ? <View {...props} /> : <>{waiting}</>;
}
