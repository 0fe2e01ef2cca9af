/** What a shard is at present. */

export const SHARD_STATES = ['writing', 'live', 'replaced', 'lost', 'damaged'] as const;

/**
 * `writing`: its row is there, its file may be, and nothing refers to it. `live`: chunks lie in it. `replaced`: all its rows are in other shards; its
 * file stays for readers that have just asked where it is. `lost`: its file is missing. `damaged`: its file is shorter than the catalog says.
 */
export type ShardState = (typeof SHARD_STATES)[number];
