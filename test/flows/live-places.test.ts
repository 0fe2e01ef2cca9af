import { expect, test } from '@jest/globals';
import { LivePlaces, MAX_APPEND_STREAMS, MAX_LIVE_READERS } from '../../src/flows/live/live-places.ts';

test.each([MAX_APPEND_STREAMS, MAX_APPEND_STREAMS / 2, MAX_LIVE_READERS / 2])(
  'half the places take half as many: %i',
  (most) => {
    const places = new LivePlaces('streams', 'too-many-streams', most);
    const taken = Array.from({ length: most }, () => places.take());
    const tooMany = expect.objectContaining({ code: 'unavailable', slug: 'too-many-streams' });
    expect(() => places.take()).toThrow(tooMany);
    taken[0]();
    taken[0]();
    places.take();
    expect(() => places.take()).toThrow(tooMany);
    expect(places.taken).toBe(most);
  },
);
