/** Hears of every token that is made, replaced or revoked, by whatever process. */
import { listenTo, type Listener } from '../listener.ts';

/** As the trigger of the migration calls it. */
const TOKEN_CHANNEL = 'varve_tokens';

export function listenForTokens(url: string, onChange: () => void, onError: (error: Error) => void): Listener {
  return listenTo(url, TOKEN_CHANNEL, onChange, onError);
}
