export const h: any;
export const Fragment: any;
export function render(what: any, into: Element): void;
