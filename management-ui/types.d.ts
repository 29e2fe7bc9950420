// The shapes of things: what components are given, what the page passes around. For the type checker and for people; never served.

type PageProps = {name: string, parts: string[]};
/** one end is given */
/** patience: milliseconds. onEvent: the answer is a stream of events. login: a 401 does not end the session */
type CallOptions = {query?: Record<string, unknown>, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, login?: boolean, onEvent?: (event: any) => void, patience?: number};
type Call = (method: string, where: string, options?: CallOptions) => Promise<any>;
/** chosen: only this virtual host is looked at. deepest: the deepest first. holder: the consumer behind one of them */
type Seen = {overview?: any, chosen?: string, drift?: number, nodes?: any[], deepest?: any[], looping?: any[], blocked?: any[], lost?: any[], holder?: Holder};
type Holder = {queue: {vhost: string, name: string}, text: string, href?: string};
type AddFinding = (level: Finding["level"], text: string, why: string, href?: string, by?: Holder) => void;
/** graver: bad where they grow. one: behind the name, and why. many: behind how many. by: the order that shows them first */
type Group = (is: (q: any) => boolean, graver: boolean, one: (q: any) => [string, string], many: string, by?: string) => void;
/** of: value and name of each */
type SegmentedProps = {label: string, of: [any, string][], value: any, choose: (value: any) => void};
/** the path, and what `useFlow` picks */
type Source = (chosen: string) => [string, (data: any) => [any, any]];
type StaleProps = {error: any, gone?: string};
/** what is undefined cannot be done */
type StepsProps = {what: string, back?: () => void, on?: () => void, between?: any, children?: any};
type HeadProps = {title: any, note?: any, children?: any, actions?: any};
/** of: given what closes it */
type OpensProps = {label: any, of: (close: () => void) => any, class?: string, disabled?: boolean, title?: string, plus?: boolean, name?: string};
type DeclareHeadProps = {title: string, label: string, kind: string, fields: FieldSpec[], example: string};
/** take: the act, on what, what it means, what is said afterwards */
type RightsProps = {title: string, note: string, of: Poll, where: string, name: string, none: string, act: string, fields: FieldSpec[], said: (v: any) => string, take: (p: any) => string[]};
/** Asks once, and again every so many milliseconds; 0: once. `where` null asks nothing. onData: called for every answer, before the page draws */
type UsePoll = (where: string | null, everyMs: number, query?: Record<string, unknown>, onData?: (data: any) => void) => Poll;
/** here: only what is around this one */
type LayOut = (things: {id: string, kind: 'exchange' | 'queue', name: string}[], edges: Edge[], here?: string) => {nodes: Map<string, Placed>, width: number, height: number};
type ChartOptions = (series: Series[], span: number, width: number, height: number, onPoint: (i: number | null) => void, unit: (n: any) => string, steps: number[]) => any;
type CardProps = {title?: any, note?: any, tools?: any, label?: string, id?: string, children?: any};
/** kind: `queue` or `exchange`; fields: besides vhost, name and arguments */
type DeclareProps = {kind: string, label: string, fields: any[], example: string, onClose: () => void};
type BindProps = {vhost: string, source?: string, destination?: string, onClose: () => void, onDone: () => void};
type BindingsProps = {poll: any, vhost: string, source?: string, destination?: string};
/** `at` changes with every new sample; steps: what may lie between two grid lines */
type ChartProps = {title: string, series: Series[], ring: Ring, unit: (n: any) => string, at: number, low?: boolean, span?: number, steps?: number[]};
/** span: how far back, in seconds; without choose there is no more. depth: the title of the second chart */
type FlowProps = {ring: Ring, span: number, at: number, choose?: (span: number) => void, note?: any, depth?: string};
/** Code to copy, in one or more languages, for a virtual host: the chosen one if none is given. */
type CodeProps = {variants: Record<string, string>, of?: string};
type DelayedProps = {vhost: string, exchange: string};
/** A modal. Escape and the backdrop close it. */
type DialogProps = {title: string, onClose: () => void, narrow?: boolean, children?: any};
/** name, value, title */
type FactsProps = {facts: [string, any, string?][], small?: boolean};
/** keep: what was typed stays after success */
type FormProps = {fields: FieldSpec[], submit: string, onSubmit: (v: Record<string, any>) => Promise<any>, onCancel?: () => void, danger?: boolean, children?: any, keep?: boolean, keepLabel?: string};
/** A form in a dialog; closes on success. */
type FormDialogProps = {title: string, fields: FieldSpec[], submit: string, onSubmit: (v: Record<string, any>) => Promise<any>, onClose: () => void, narrow?: boolean, children?: any, danger?: boolean, keepLabel?: string};
type FrameProps = {here: string, onHelp: () => void, children?: any};
type IconProps = {name: string, size?: number, class?: string};
type SearchProps = {value: string, onChange: (v: string) => void, label: string};
/** past: asks for what the rows' sparklines show of the past. texts: what a filter looks at, where that is more than the name. pattern: what names are like while nothing is filtered */
type ListProps = {pattern?: string, tools?: any, texts?: (row: any) => (string | undefined)[], id: string, where: string, what: string, columns: Column[], rowId: (row: any) => string, empty: any, sort: string, onRows?: (rows: any[]) => void, past?: (where: string, asked: any) => void};
type MessagesProps = {vhost: string, queue: string, onChange: () => void};
type PublishProps = {vhost: string, exchange: string, routingKey?: string, onClose: () => void, onDone?: () => void};
type RedriveProps = {vhost: string, queue: string, ready: number, onClose: () => void, onDone: () => void};
/** A row's recent past. Zero is the bottom. */
type SparkProps = {values: (number | undefined)[], label: string};
type ProblemProps = {error: any, doing?: string};
/** folded: the code is shown on demand */
type EmptyProps = {title: string, of?: string, children?: any, code?: Record<string, string> | false, folded?: boolean};
/** Children are called with the data once it is there. */
type LoadedProps = {of: any, lines?: number, children: any};
type ColumnChoiceProps = {columns: Column[], hidden: Set<string>, toggle: (key: string) => void};
/** onSort: the server sorts; without it the page does */
type TableProps = {columns: Column[], rows: any[], id: (row: any) => string, label: string, sort?: {by: string, desc: boolean}, onSort?: (by: string, desc: boolean) => void, updating?: boolean};
type RowsProps = Omit<TableProps, 'rows'> & {of: Poll, lines?: number, none?: any};
/** What an import would do. */
type PreviewProps = {read: {name: string, report: any}};
/** waiting: said where nothing is found */
type StatusProps = {found: Finding[], waiting: string};
type MeterProps = {used: any, total: any, unit: (n: any) => string, alarm?: boolean};
/** one: what each is called; at: its path below `kind`; loses: what deleting it means */
type KeptProps = {kind: string, title: string, one: string, why: string, of: Poll, at: (thing: any) => string, columns: Column[], fields: (old: any) => FieldSpec[], body: (v: any) => any, loses: (thing: any) => string, mayEdit?: boolean};
type TopProps = {title: string, of: Poll, sort: string, rows: any[], columns: Column[], none: any};
type CanvasProps = {width: number, height: number, children?: any};
type GraphProps = {bindings: any[], queues?: Map<string, any>, name: string, search?: string, here?: string};
type Series = {key: string, label: string, color?: 1 | 2 | 3, dash?: number[], fill?: boolean};
/** type: text that must be typed first; keep: on the button that leaves all as it is; done: said afterwards; after: run after success */
type Question = {title: string, says: any, act: string, run: () => Promise<any>, done?: string | ((r: any) => string), type?: string, after?: () => void, keep?: string};
/** name: for those who do not see what the button stands beside */
type AsksProps = Question & {small?: boolean, name?: string};
type FieldSpec = {name: string, label: string, hint?: any, kind?: 'text'|'password'|'number'|'checkbox'|'select'|'textarea'|'file'|'datetime-local', options?: any[], value?: any,   required?: boolean, wide?: boolean, mono?: boolean, placeholder?: string, autocomplete?: string, rows?: number, autofocus?: boolean, min?: number, max?: number | string, step?: number, onChange?: (e: any) => void};
/** sort: the path to sort by; prio: hidden on narrower screens; off: hidden until chosen */
type Column = {key: string, label: string, draw?: (row: any) => any, num?: boolean, sort?: string, prio?: 2 | 3, off?: boolean, title?: string, class?: string};
type Finding = {level: 'bad' | 'warn', text: string, why: string, href?: string, by?: Holder};
type Placed = {id: string, kind: 'exchange' | 'queue', name: string, x: number, y: number, column: number};
type Edge = {from: string, to: string, keys: string[]};
type Watcher = (status: number, body: any) => void;
type Poll = {data: any, error: any, at: number, refresh: () => void};
type Route = {parts: string[], query: Record<string, string>};
/** at: seconds; the rest by name */
type Ring = ({at: number} & Record<string, number>)[];
/** Where in an answer the samples of a number are. counter: totals, to be made into rates */
type Sources = Record<string, {details: any, counter?: boolean}>;
type User = {name: string, tags: string[]};
