/** JSON bodies of bounded size. (Bodies of samples are streamed instead: request-body.ts.) */
import express, { type Request, type RequestHandler } from 'express';
import type { z } from 'zod';
import { invalidField, VarveError } from '../../core/errors.ts';
import { parseJsonWithDigits } from '../../formats/text/exact-json.ts';
import { repeatedKey } from '../../formats/text/json-keys.ts';
import { utf8Text } from '../../formats/binary/utf8.ts';
import { documents, type DocumentRoom } from './document-room.ts';
import { STALLED } from './stalled.ts';
import { fieldName, parseWith } from './field-errors.ts';

/** Metadata of a series of some thousand channels fit. */
const MAX_JSON_BYTES = 1024 * 1024;
/** Beyond what anyone nests by hand, and well within what JSON.stringify and Postgres can walk. */
const MAX_JSON_DEPTH = 64;

const MEDIA_TYPES = ['application/json', 'application/*+json'];

/**
 * Reads a JSON body. A bare integer past ±2^53 is read as its digits in quotes, wherever it stands.
 * Answers unsupported-media-type for another media type, limit-exceeded and invalid-input (field `body`).
 */
export function jsonBody(maxBytes: number = MAX_JSON_BYTES, room: DocumentRoom = documents): RequestHandler {
  const read = express.text({ type: MEDIA_TYPES, limit: maxBytes, verify: verifyText });
  return (req, res, next) => {
    // `is` gives null for a request without a body: the schema will say what is missing.
    if (req.is(MEDIA_TYPES) === false) {
      const message = 'must be application/json';
      throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
        errors: [{ field: 'Content-Type', message }],
      });
    }
    // The parser would wait for the end of what it gives up.
    let isOver = false;
    const over = (error?: unknown): void => {
      if (isOver) return;
      isOver = true;
      req.off(STALLED, over).off('data', onData);
      next(error);
    };
    const count = room.counterFor(res);
    // What is compressed may become as much as is read at most.
    const isPacked = (req.get('content-encoding') ?? 'identity') !== 'identity';
    let isCounted = false;
    const onData = (piece: Buffer): void => {
      try {
        if (!isPacked) count(piece.length);
        else if (!isCounted) count(maxBytes);
        isCounted = true;
      } catch (error) {
        over(error);
      }
    };
    req.once(STALLED, over).on('data', onData);
    read(req, res, (error?: unknown) => {
      if (error !== undefined || typeof req.body !== 'string') return over(error);
      try {
        req.body = parsed(req.body);
      } catch (fault) {
        return over(fault);
      }
      over();
    });
  };
}

/** Refuses a JSON text that says something which parsing would lose in silence. */
function verifyText(_req: unknown, _res: unknown, bytes: Buffer, charset: string): void {
  if (charset !== 'utf-8') {
    const message = 'must be UTF-8, which is the character set of JSON';
    throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
      errors: [{ field: 'Content-Type', message }],
    });
  }
  assertJsonText(utf8Text(bytes, 'body'), 'body');
}

/** An empty body is an empty object: the schema will say what is missing. */
function parsed(text: string): unknown {
  if (text === '') return {};
  try {
    return parseJsonWithDigits(text);
  } catch (error) {
    throw Object.assign(error as Error, { type: 'entity.parse.failed', status: 400 });
  }
}

/** @throws invalid-input naming a key that an object has twice */
export function assertJsonText(text: string, whole: string): void {
  const path = repeatedKey(text);
  if (path) throw invalidField(fieldName(path, whole), 'is given more than once');
}

/** The parsed body as the schema reads it. @throws invalid-input naming each field */
export function bodyOf<S extends z.ZodType>(req: Request, schema: S): z.output<S> {
  refuseUnstorable(req.body);
  return parseWith(schema, req.body, 'body');
}

/**
 * Refuses what JSON can say and Postgres cannot store: NUL characters, lone surrogates and numbers that no float64
 * reaches. It also refuses nesting so deep that it would exhaust a stack later, and walks without recursion itself.
 */
export function refuseUnstorable(body: unknown): void {
  const ahead: { value: unknown; path: PropertyKey[] }[] = [{ value: body, path: [] }];
  for (let at = ahead.pop(); at; at = ahead.pop()) {
    const { value, path } = at;
    if (typeof value === 'string') refuseText(value, path);
    // What is out of reach was read as infinity, and would be written as null.
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw invalidField(fieldName(path, 'body'), 'must be a finite number: a float64 ends at 1.8e308');
    }
    if (typeof value !== 'object' || value === null) continue;
    if (path.length >= MAX_JSON_DEPTH) throw invalidField(fieldName(path.slice(0, 4), 'body'), 'is nested too deeply');
    for (const [key, inner] of Object.entries(value)) {
      const innerPath = [...path, Array.isArray(value) ? Number(key) : key];
      if (!Array.isArray(value)) refuseText(key, path);
      if (key === '__proto__') throw invalidField(fieldName(innerPath, 'body'), 'is not known here');
      ahead.push({ value: inner, path: innerPath });
    }
  }
}

function refuseText(text: string, path: readonly PropertyKey[]): void {
  // In Unicode mode only a surrogate without its other half has the category Cs.
  if (/\0|\p{Cs}/u.test(text)) {
    throw invalidField(fieldName(path, 'body'), 'has a NUL character or half a surrogate pair, which cannot be stored');
  }
}
