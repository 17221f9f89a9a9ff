// A connection to a server: how it is reached, waited for, and asked.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { HealthCheckResponse_ServingStatus as Health, HealthClient } from './generated/grpc/health/v1/health.js';
import { VectorSearchServiceClient } from './generated/vecgate/v1/service.js';
import { Refusal } from './refusal.js';

/** What a call may take, retries and pauses included. */
export const READ_DEADLINE_MS = 30_000;
export const BULK_DEADLINE_MS = 120_000;

const OPTIONS: grpc.ClientOptions = {
  // Which methods gRPC itself sends again, how often and how fast.
  'grpc.service_config': readFileSync(new URL('../../service_config.json', import.meta.url), 'utf8'),
  'grpc.keepalive_time_ms': 30_000,
  // A server that was away for a while is found within 2 seconds, not within 2 minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // The server bounds messages; gRPC's own 4 MiB could only disagree.
  'grpc.max_receive_message_length': -1,
};

/** Opens a connection; nothing is sent before the first call. */
export function connect(address: string): VectorSearchServiceClient {
  return new VectorSearchServiceClient(address, grpc.credentials.createInsecure(), OPTIONS);
}

/** Metadata of a call that goes on knocking until its deadline, instead of failing at the first refused connection. */
export function waitingForReady(): grpc.Metadata {
  return new grpc.Metadata({ waitForReady: true });
}

/** Resolves once the server says that it serves: its models are warm and a backend answers. */
export async function waitUntilServing(client: VectorSearchServiceClient, address: string, seconds: number): Promise<void> {
  const deadline = Date.now() + 1000 * seconds;
  const health = new HealthClient(address, grpc.credentials.createInsecure(), { channelOverride: client.getChannel() });
  const service = 'vecgate.v1.VectorSearchService';
  let found = 'no vecgate server answers';
  while (Date.now() < deadline) {
    const states = health.watch({ service }, waitingForReady(), { deadline });
    try {
      for await (const { status } of states) {
        if (status === Health.SERVING) return;
        found = 'the vecgate server is not ready';
      }
    } catch (error) {
      const refusal = Refusal.of(error);
      if (refusal.code !== 'UNAVAILABLE' && refusal.code !== 'DEADLINE_EXCEEDED') {
        throw new Error(`what answers at ${address} is no vecgate server: ${refusal.message}`);
      }
    } finally {
      states.cancel();
    }
    // The stream ends when the server goes; it, or another, may come back.
    await sleep(100);
  }
  throw new Error(`${found} at ${address} within ${seconds} s`);
}

type Unary<Request, Response> = (
  request: Request,
  metadata: grpc.Metadata,
  options: Partial<grpc.CallOptions>,
  callback: (error: grpc.ServiceError | null, response: Response) => void,
) => grpc.ClientUnaryCall;

/**
 * Makes one call within a deadline, and throws a Refusal if it fails. A call that was refused for want of room had no effect,
 * whatever it does: it is sent again after the time that the server names, as long as the deadline lets it.
 */
export async function send<Request, Response>(
  client: VectorSearchServiceClient,
  method: Unary<Request, Response>,
  request: Request,
  deadlineMs: number,
): Promise<Response> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await new Promise<Response>((resolve, reject) => {
        method.call(client, request, new grpc.Metadata(), { deadline }, (error, response) =>
          error ? reject(error) : resolve(response),
        );
      });
    } catch (error) {
      const refusal = Refusal.of(error);
      const pause = refusal.pauseMs();
      if (refusal.code !== 'RESOURCE_EXHAUSTED' || pause === 0 || Date.now() + pause > deadline) throw refusal;
      await sleep(pause);
    }
  }
}
