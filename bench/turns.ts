/** Peers that take turns with Varve, because a machine is never twice the same. One that is slow gets fewer. */
import type { Peer } from './peers/peer.ts';

/** A peer that has taken so long with one measure sits out: its median is known well enough, and the others wait. */
const ENOUGH_MS = 15_000;

export class Turns {
  /** By the peer's name, in the order they were taken. */
  readonly samples: Record<string, number[]> = {};
  readonly #peers: readonly Peer[];
  readonly #spentMs = new Map<Peer, number>();

  constructor(peers: readonly Peer[]) {
    this.#peers = peers;
  }

  /** One turn of each. @param work @returns samples of a peer */
  async take(work: (peer: Peer) => Promise<readonly number[]>): Promise<void> {
    for (const peer of this.#peers) {
      const spentMs = this.#spentMs.get(peer) ?? 0;
      if (spentMs > ENOUGH_MS) continue;
      const begun = performance.now();
      (this.samples[peer.name] ??= []).push(...(await work(peer)));
      this.#spentMs.set(peer, spentMs + performance.now() - begun);
    }
  }
}
