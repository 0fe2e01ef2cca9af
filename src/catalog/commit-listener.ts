/** Hears of commits as they happen. A missed one is made up for by a poll. */
import { COMMIT_CHANNEL } from './commit-feed.ts';
import { listenTo, type Listener } from './listener.ts';

export type CommitListener = Pick<Listener, 'close'>;

/** @param onCommit called after every commit of any process on the same database */
export function listenForCommits(url: string, onCommit: () => void, onError: (error: Error) => void): CommitListener {
  return listenTo(url, COMMIT_CHANNEL, onCommit, onError);
}
