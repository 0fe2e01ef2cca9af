/** Hears of every commit, by whatever process. */
import { COMMIT_CHANNEL } from './commit-feed.ts';
import { listenTo, type Listener } from './listener.ts';

export type { Listener };

export function listenForCommits(url: string, onNews: () => void, onError: (error: Error) => void): Listener {
  return listenTo(url, COMMIT_CHANNEL, onNews, onError);
}
