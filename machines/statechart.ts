/** Compiles an XState chart into the plain table that runs: XState's transition() costs some 35 µs, a look-up here some 30 ns. */

import type { AnyStateMachine, AnyStateNode } from 'xstate';

/** A compiled chart. A state inside another is written `parent.child`. */
export interface Statechart<State extends string = string, Event extends string = string> {
  readonly initial: State;
  /** Every state that a machine can be in: leaves, in the chart's order. */
  readonly states: readonly State[];
  /** Every event the chart names, in order of first mention. */
  readonly events: readonly Event[];
  /**
   * The state after `event` in `state`; undefined when the chart has no transition for it there. `holds` answers the
   * chart's named guards; a chart that has none does without. Throws RangeError for a state that is not one.
   */
  next(state: State, event: Event, holds?: (guard: string) => boolean): State | undefined;
}

/** One way to go: the first whose guard holds is taken. */
interface Row<State> { readonly guard: string | undefined; readonly target: State }

/**
 * The table of `chart`: flat or with one level of nesting, without parallel states, history, invocations, delays,
 * eventless transitions or guards written inline. Throws RangeError that names what it cannot compile. Actions are left
 * to whoever draws the chart: they do not run here.
 */
export function compile<State extends string = string, Event extends string = string>(chart: AnyStateMachine): Statechart<State, Event> {
  const root = chart.root as AnyStateNode;
  assertCompilable(root, 0);
  const leaves = leavesOf(root);
  const states = leaves.map(nameOf) as State[];
  const events: Event[] = [];
  const table = new Map<State, ReadonlyMap<Event, readonly Row<State>[]>>();
  for (const leaf of leaves) {
    const rows = new Map<Event, Row<State>[]>();
    for (const node of lineage(leaf)) {
      // Innermost first: an outer transition is tried when no guard of the inner ones holds.
      for (const [event, transitions] of node.transitions) {
        if (!events.includes(event as Event)) events.push(event as Event);
        let ways = rows.get(event as Event);
        if (ways === undefined) rows.set(event as Event, ways = []);
        for (const transition of transitions) ways.push({ guard: guardName(transition.guard), target: targetOf(transition, leaf) as State });
      }
    }
    table.set(nameOf(leaf) as State, rows);
  }
  return {
    initial: nameOf(initialLeaf(root)) as State, states, events,
    next(state, event, holds) {
      const rows = table.get(state);
      if (rows === undefined) throw new RangeError(`${chart.id} has no state ${state}: it has ${states.join(', ')}`);
      for (const { guard, target } of rows.get(event) ?? []) {
        if (guard === undefined) return target;
        if (holds === undefined) throw new RangeError(`${chart.id} asks whether ${guard} holds on ${event} in ${state}`);
        if (holds(guard)) return target;
      }
      return undefined;
    },
  };
}

const nameOf = (node: AnyStateNode): string => node.path.join('.');
const childrenOf = (node: AnyStateNode): AnyStateNode[] => Object.values(node.states);
const leavesOf = (node: AnyStateNode): AnyStateNode[] => (childrenOf(node).length === 0 ? [node] : childrenOf(node).flatMap(leavesOf));

/** The node and its ancestors, innermost first. As with XState's transition(), an outer transition leads out of a final state too. */
function lineage(leaf: AnyStateNode): AnyStateNode[] {
  const nodes: AnyStateNode[] = [];
  for (let node: AnyStateNode | undefined = leaf; node !== undefined; node = node.parent) nodes.push(node);
  return nodes;
}

function initialLeaf(node: AnyStateNode): AnyStateNode {
  if (childrenOf(node).length === 0) return node;
  const target = node.initial.target?.[0];
  if (target === undefined) throw refusal(node, 'has states but no initial one');
  return initialLeaf(target);
}

/** Where a transition taken in `leaf` leads: nowhere else when it has no target. */
function targetOf(transition: AnyStateNode['transitions'] extends Map<string, (infer T)[]> ? T : never, leaf: AnyStateNode): string {
  const { target } = transition;
  if (target === undefined || target.length === 0) return nameOf(leaf);
  if (target.length > 1) throw refusal(transition.source, `has a transition with ${target.length} targets`);
  return nameOf(initialLeaf(target[0]!));
}

function guardName(guard: unknown): string | undefined {
  if (guard === undefined) return undefined;
  if (typeof guard === 'string') return guard;
  if (typeof guard === 'object' && guard !== null && 'type' in guard && typeof guard.type === 'string' && !('params' in guard)) return guard.type;
  throw new RangeError('a guard must be named, without parameters, to be compiled');
}

function assertCompilable(node: AnyStateNode, depth: number): void {
  if (depth > 2) throw refusal(node, 'is nested more than one level deep');
  if (node.type === 'parallel' || node.type === 'history') throw refusal(node, `is a ${node.type} state`);
  if (node.invoke.length > 0) throw refusal(node, 'invokes an actor');
  if (node.after.length > 0) throw refusal(node, 'has a delay: deadlines are alarms of the world');
  if (node.always !== undefined && node.always.length > 0) throw refusal(node, 'has an eventless transition');
  for (const event of node.transitions.keys()) if (event.includes('*') || event.startsWith('xstate.')) throw refusal(node, `has a transition on ${event}`);
  for (const child of childrenOf(node)) assertCompilable(child, depth + 1);
}

const refusal = (node: AnyStateNode, what: string): RangeError => new RangeError(`state ${node.id} ${what}, which cannot be compiled`);
