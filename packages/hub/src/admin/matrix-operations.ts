import type { TestAdmin } from "../test-admin.ts";
import type { MatrixRequest } from "./matrix-requests.ts";

/** A route, as a running hub's OpenAPI document has it. */
export interface Operation {
  /** `POST /api/groups` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly permission: string;
  /** Two with a blank between them: a token needs both. */
  readonly scope: string;
  /** Fields of its JSON body; undefined: it takes none. */
  readonly fields: readonly string[] | undefined;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentOperation>>>>;
}

interface DocumentOperation {
  readonly "x-permission": string;
  readonly "x-scope": string;
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: JsonSchema } } };
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, unknown>>;
}

export async function operationsOf(admin: TestAdmin): Promise<readonly Operation[]> {
  const response = await admin.call(undefined, "GET", "/api/openapi.json");
  const { paths } = (await response.json()) as Document;
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      const schema = operation.requestBody?.content["application/json"].schema;
      return {
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        permission: operation["x-permission"],
        scope: operation["x-scope"],
        fields: schema && Object.keys(schema.properties ?? {}),
      };
    }),
  );
}

/** Where a request goes: the route's path with its parameters. */
export function addressOf({ path }: Operation, { params = {}, query = "" }: MatrixRequest): string {
  return (
    path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(params[name] ?? `no-${name}`)) + query
  );
}
