/** What a shard is at present. */

export const SHARD_STATES = ['hot', 'retired', 'sealed', 'replaced', 'lost'] as const;

/**
 * `hot`: its lane appends to it. `retired`: takes no more appends. `sealed`: immutable and compressed, written at once. `replaced`: all its rows are in
 * another shard; its file stays for readers that have just asked where it is. `lost`: its file is missing.
 */
export type ShardState = (typeof SHARD_STATES)[number];
