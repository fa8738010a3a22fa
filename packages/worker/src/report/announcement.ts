import type { ServedModel } from "../engines/engine.ts";
import { LIMITS } from "../limits.ts";
import type { Target } from "../targets/target.ts";
import type { Hardware } from "./hardware.ts";

/**
 * What the worker tells the hub of itself, when it registers and when it changes. Absent fields are unknown, never zero.
 * Never an address, a header's value or a key. `docs/examples/worker-announcement.json` is one.
 */
export interface ModelsAnnouncement {
  readonly kind: "models";
  readonly nodeName?: string;
  readonly groups?: readonly string[];
  readonly targets: readonly AnnouncedTarget[];
  readonly models: readonly AnnouncedModel[];
  readonly hardware: Hardware;
}

export interface AnnouncedTarget {
  readonly name: string;
  readonly engine: string;
  readonly version?: string;
  readonly slots?: number;
  readonly routes: readonly string[];
}

export interface AnnouncedModel {
  readonly id: string;
  readonly target: string;
  readonly contextLength?: number;
  readonly capabilities?: readonly string[];
  readonly loaded?: boolean;
}

/** How busy the targets are: small, and sent often. */
export interface LoadAnnouncement {
  readonly kind: "load";
  readonly targets: readonly {
    readonly name: string;
    readonly running: number;
    readonly waiting?: number;
    readonly decodeTokensPerSecond?: number;
  }[];
}

export interface AnnouncementFacts {
  readonly nodeName: string | undefined;
  readonly groups: readonly string[];
  readonly hardware: Hardware;
}

export function modelsAnnouncement(targets: Iterable<Target>, facts: AnnouncementFacts): ModelsAnnouncement {
  const { nodeName, groups, hardware } = facts;
  const all = [...targets];
  return {
    kind: "models",
    ...(nodeName !== undefined && { nodeName }),
    ...(groups.length > 0 && { groups }),
    targets: all.map(announcedTarget),
    models: announcedModels(all),
    hardware,
  };
}

export function loadAnnouncement(targets: Iterable<Target>): LoadAnnouncement {
  return {
    kind: "load",
    targets: [...targets].map(({ name, running, found, speed }) => {
      const perSecond = speed.tokensPerSecond;
      return {
        name,
        running,
        ...(found.waiting !== undefined && { waiting: found.waiting }),
        ...(perSecond !== undefined && { decodeTokensPerSecond: Math.round(perSecond * 10) / 10 }),
      };
    }),
  };
}

function announcedTarget({ name, settings, found, slots }: Target): AnnouncedTarget {
  const { engine, routes } = settings;
  return { name, engine, ...(found.version !== undefined && { version: found.version }), slots, routes };
}

/** Each id once: the first target that has it serves it. Cut where the hub would not take more. */
function announcedModels(targets: readonly Target[]): AnnouncedModel[] {
  const byId = new Map<string, AnnouncedModel>();
  let bytes = 0;
  for (const target of targets) {
    for (const model of target.models.values()) {
      if (byId.has(model.id)) continue;
      const announced = announcedModel(model, target.name);
      bytes += Buffer.byteLength(JSON.stringify(announced)) + 1;
      if (byId.size >= LIMITS.maxModels || bytes > LIMITS.maxModelListBytes) return [...byId.values()];
      byId.set(model.id, announced);
    }
  }
  return [...byId.values()];
}

function announcedModel(model: ServedModel, target: string): AnnouncedModel {
  const { id, upstream: _upstream, ...facts } = model;
  return { id, target, ...facts };
}
