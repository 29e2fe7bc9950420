export function useState<T>(initial: T | (() => T)): [T, (next: T | ((old: T) => T)) => void];
export function useEffect(run: () => void | (() => void) | undefined, on?: readonly unknown[]): void;
export const useLayoutEffect: typeof useEffect;
export function useRef<T>(initial: T): { current: T };
export function useMemo<T>(make: () => T, on: readonly unknown[]): T;
export function useCallback<T>(f: T, on: readonly unknown[]): T;
export function useErrorBoundary(f?: (error: unknown) => void): [unknown, () => void];
