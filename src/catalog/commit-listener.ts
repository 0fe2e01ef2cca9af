/** Hears of commits as they happen. A missed one is made up for by a poll. */
import { listenTo, type Listener } from './listener.ts';
import { COMMIT_CHANNEL } from './publish.ts';

export type CommitListener = Pick<Listener, 'close'>;

/** @param onCommit called after every publish of any process on the same database */
export function listenForCommits(url: string, onCommit: () => void, onError: (error: Error) => void): CommitListener {
  return listenTo(url, COMMIT_CHANNEL, onCommit, onError);
}
