/** How the blocks of a shard are compressed. */

/**
 * - `gzip`: HDF5's deflate, which every HDF5 tool reads.
 * - `none`: as they are.
 * - `bitshuffle-lz4`: HDF5 filter 32008, several times as fast; other tools need its plugin.
 */
export const CODECS = ['gzip', 'none', 'bitshuffle-lz4'] as const;
export type Codec = (typeof CODECS)[number];
