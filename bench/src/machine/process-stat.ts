/**
 * CPU of one process in clock ticks, from `/proc/PID/stat` (proc(5), fields 14 to 17): its own over all threads, also those
 * that ended, and that of its children that ended and were waited for. The kernel scales them from its exact run time.
 *
 * @throws RangeError when `text` is not such a line.
 */
export function parseProcessStat(text: string): { readonly ownTicks: number; readonly childTicks: number } {
  // The second field is the program's name in brackets and may hold spaces and brackets itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
  const ownTicks = (user ?? Number.NaN) + (system ?? Number.NaN);
  const childTicks = (childUser ?? Number.NaN) + (childSystem ?? Number.NaN);
  if (!Number.isFinite(ownTicks) || !Number.isFinite(childTicks)) throw new RangeError("Not a /proc/PID/stat line.");
  return { ownTicks, childTicks };
}

/**
 * Busy time of all cores together in clock ticks, from `/proc/stat` (proc(5)): user, nice, system, and interrupts, which
 * by default are also counted to the process they interrupt. Stolen: a virtual machine's host gave the core to others.
 */
export function parseSystemStat(text: string): { readonly busyTicks: number; readonly stolenTicks: number } {
  const line = text.slice(0, text.indexOf("\n")).trim().split(/\s+/);
  if (line[0] !== "cpu") throw new RangeError("Not /proc/stat.");
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0, stolen = 0] = line
    .slice(1)
    .map(Number);
  return { busyTicks: user + nice + system + interrupts + softInterrupts, stolenTicks: stolen };
}

/** Memory that a process holds in RAM, in bytes, from `/proc/PID/status`. */
export function parseResidentBytes(text: string): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
  if (kilobytes === undefined) throw new RangeError("No VmRSS in /proc/PID/status.");
  return Number(kilobytes) * 1024;
}
