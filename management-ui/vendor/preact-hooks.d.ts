// Null and an empty list say nothing of what comes later.
export function useState(initial: null): [any, (next: any) => void];
export function useState(initial: never[]): [any[], (next: any[] | ((old: any[]) => any[])) => void];
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((old: T) => T)) => void];
export function useEffect(run: () => void | (() => void) | undefined, on?: readonly unknown[]): void;
export const useLayoutEffect: typeof useEffect;
export function useRef(initial: null): { current: any };
export function useRef<T>(initial: T): { current: T };
export function useMemo<T>(make: () => T, on: readonly unknown[]): T;
export function useCallback<T>(f: T, on: readonly unknown[]): T;
export function useErrorBoundary(f?: (error: unknown) => void): [unknown, () => void];
