// Numbers as text. The space before the unit does not break.

// A probability in whole per cent, but never a rounded 0 or 1.
export function percentage(probability) {
  if (probability > 0 && probability < 0.005) return "<\u00a01\u00a0%";
  if (probability < 1 && probability > 0.995) return ">\u00a099\u00a0%";
  return `${Math.round(100 * probability)}\u00a0%`;
}

export const share = (value) => `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)}\u00a0%`;

export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
