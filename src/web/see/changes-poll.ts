/** What changes in the store while the view is open: long polls of the feed of changes. */
import { isAbort, Refusal, type Api } from '../api.ts';

/** A change of one series, as the feed tells it. */
export interface HeardChange {
  readonly series: string;
  readonly kind: string;
  readonly commit: number;
}

/** Seconds that an empty poll waits. */
const WAIT_S = 25;
/** Pause after a failed poll, in ms. */
const PAUSE_MS = 2_000;

interface PolledPage {
  readonly commits: readonly {
    readonly commit: number;
    readonly changes: readonly { readonly series: string; readonly kind: string }[];
  }[];
  readonly after: number;
}

/** Where the feed stands; null: one may not follow it. */
export async function changesNow(api: Api, signal: AbortSignal): Promise<number | null> {
  try {
    return ((await (await api.raw('/v1/changes', { signal })).json()) as PolledPage).after;
  } catch (error) {
    if (isAbort(error)) throw error;
    return null;
  }
}

/**
 * Tells every change after a commit until the signal. A feed that has forgotten where we are begins anew, and says so.
 * @param lost changes may have been missed
 */
export async function pollChanges(
  api: Api,
  after: number,
  signal: AbortSignal,
  { heard, lost }: { heard: (changes: readonly HeardChange[]) => void; lost: () => void },
): Promise<void> {
  let at = after;
  while (!signal.aborted) {
    try {
      const page = (await (await api.raw(`/v1/changes?after=${at}&wait=${WAIT_S}`, { signal })).json()) as PolledPage;
      at = page.after;
      const changes = page.commits.flatMap(({ commit, changes: list }) =>
        list.map(({ series, kind }) => ({ series, kind, commit })),
      );
      if (changes.length > 0) heard(changes);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (error instanceof Refusal && (error.status === 401 || error.status === 403 || error.status === 404)) return;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (!(error instanceof Refusal) || error.status !== 410) continue;
      const now = await changesNow(api, signal).catch(() => null);
      if (now === null) return;
      at = now;
      lost();
    }
  }
}
