const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
/** How a grapheme begins that is an emoji: flags and keycaps, too. */
const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\uFE0F?\u20E3)/u;

/** How many emoji a text is, spaces aside; 0 when it is anything else, too. */
export function countEmoji(text: string) {
  const parts = [...graphemes.segment(text.replace(/\s/gu, ''))];
  return parts.every(({ segment }) => EMOJI.test(segment)) ? parts.length : 0;
}
