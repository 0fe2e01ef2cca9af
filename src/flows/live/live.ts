/** What is live, put together: one piece of news for all readers of the process. */
import { appendStream, type StreamDeps } from './append-stream.ts';
import type { CommitNews } from './commit-news.ts';
import { changesPage, followChanges } from './follow-changes.ts';
import { followSamples, type LiveReadDeps } from './follow-samples.ts';
import { LivePlaces, MAX_APPEND_STREAMS, MAX_LIVE_READERS } from './live-places.ts';
import type { LiveService } from './live-service.ts';

export type LiveDeps = Omit<LiveReadDeps, 'places' | 'db'> &
  Omit<StreamDeps, 'streams' | 'stopping'> & { readonly news: CommitNews };

export interface Live extends LiveService {
  /** For what concerns all who follow, such as a token that was revoked. */
  wakeAll(): void;
  /** Ends all streams, each with a word. */
  close(): Promise<void>;
}

export function liveService(deps: LiveDeps): Live {
  const { news, reads: db } = deps;
  const places = new LivePlaces('live readers', 'too-many-live-readers', MAX_LIVE_READERS);
  const streams = new LivePlaces('streams that append', 'too-many-streams', MAX_APPEND_STREAMS);
  const stopping = new AbortController();
  const reading = { ...deps, db, places };
  return {
    changes: (request) => changesPage(reading, request),
    followChanges: (request) => followChanges(reading, request),
    followSamples: (request) => followSamples(reading, request),
    appendStream: (request) => appendStream({ ...deps, streams, stopping: stopping.signal }, request),
    wakeAll: () => news.wakeAll(),
    async close() {
      stopping.abort();
      await news.close();
    },
  };
}
