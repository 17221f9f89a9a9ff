// Vectors and metadata between TypeScript and the wire.
import type { Timestamp } from './generated/google/protobuf/timestamp.js';
import type { Value } from './generated/vecgate/v1/metadata.js';
import type { Vector } from './generated/vecgate/v1/vector.js';

/** Writes a vector as it travels: little-endian float32, 4 bytes a component. */
export function pack(components: readonly number[]): Vector {
  const bytes = Buffer.alloc(4 * components.length);
  components.forEach((component, i) => bytes.writeFloatLE(component, 4 * i));
  return { encoding: { $case: 'packed', value: bytes } };
}

/** Reads a vector as answers carry it. */
export function unpack(vector: Vector | undefined): number[] {
  const bytes = vector?.encoding?.$case === 'packed' ? vector.encoding.value : Buffer.alloc(0);
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

// Metadata values are typed: what goes in comes back with its type.

export const text = (value: string): Value => ({ kind: { $case: 'stringValue', value } });
export const integer = (value: bigint): Value => ({ kind: { $case: 'intValue', value } });
export const number = (value: number): Value => ({ kind: { $case: 'doubleValue', value } });
export const truth = (value: boolean): Value => ({ kind: { $case: 'boolValue', value } });
export const list = (...values: string[]): Value => ({ kind: { $case: 'stringListValue', value: { values } } });

/** A point in time: whole seconds as a Date, and nanoseconds. */
export const instant = (date: Date, nanos = 0): Value => ({
  kind: { $case: 'timestampValue', value: { seconds: BigInt(Math.floor(date.getTime() / 1000)), nanos } },
});

/** Gives a value for JSON as protobuf's JSON mapping does: integers, which JSON readers take for doubles, as strings. */
export function readable({ kind }: Value): object {
  switch (kind?.$case) {
    case 'stringValue':
      return { string_value: kind.value };
    case 'intValue':
      return { int_value: kind.value.toString() };
    case 'doubleValue':
      return { double_value: kind.value };
    case 'boolValue':
      return { bool_value: kind.value };
    case 'timestampValue':
      return { timestamp_value: rfc3339(kind.value) };
    case 'stringListValue':
      return { string_list_value: kind.value.values };
    case undefined:
      return {}; // A kind that this program was not built for.
  }
}

function rfc3339({ seconds, nanos }: Timestamp): string {
  const [whole] = new Date(1000 * Number(seconds)).toISOString().split('.');
  return nanos ? `${whole}.${String(nanos).padStart(9, '0')}Z` : `${whole}Z`;
}
