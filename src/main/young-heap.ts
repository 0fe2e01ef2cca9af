/** Keeps the heap of young objects as small as it is at the start of a process, in all its threads. */
import { setFlagsFromString } from 'node:v8';

/**
 * V8 lets it grow to 32 MB a thread, which it does while modules are loaded, and never gives them back. They hold few objects, but many megabytes
 * of request bodies and blocks that these refer to, which are freed no sooner than it is swept. To be called before anything large is loaded.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
