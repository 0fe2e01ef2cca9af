/** Keeps the heap of young objects at a few megabytes, in all threads. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Size of both halves of the main thread's young heap. */
const YOUNG_BYTES = 8 * 1024 * 1024;
/** Objects that are alive together make V8 enlarge it; a few such rounds suffice. */
const OBJECTS_A_ROUND = 20_000;
const MOST_ROUNDS = 100;

/**
 * V8 lets it grow to 32 MB a thread, which it does while modules are loaded, and never gives them back. They hold few objects, but many megabytes
 * of request bodies and blocks that these refer to, which are freed no sooner than it is swept. Threads keep the megabyte that they begin with.
 * The main thread gets {@link YOUNG_BYTES}: with one megabyte, a request of 1,000 items costs a quarter more. To be called before anything large is loaded.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
  for (let round = 0; youngBytes() < YOUNG_BYTES && round < MOST_ROUNDS; round++) {
    Array.from({ length: OBJECTS_A_ROUND }, (_, i) => ({ i }));
  }
  setFlagsFromString('--semi-space-growth-factor=1');
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? Infinity;
}
