/** Texts from outside that a terminal, a page or a reader of lines would obey, and what they show as. */
export const UNSEEN: readonly {
  readonly name: string
  readonly text: string
  readonly shown: string
}[] = [
  { name: 'ESC', text: 'a\u001B[31mb', shown: String.raw`a\u001b[31mb` },
  { name: 'CSI of C1', text: 'a\u009B2Jb', shown: String.raw`a\u009b2Jb` },
  { name: 'OSC of C1', text: 'a\u009D0 b\u009C', shown: String.raw`a\u009d0 b\u009c` },
  { name: 'NEL', text: 'a\u0085b', shown: String.raw`a\u0085b` },
  { name: 'a bell and a backspace', text: 'a\u0007\bb', shown: String.raw`a\u0007\u0008b` },
  { name: 'NUL', text: 'a\0b', shown: String.raw`a\u0000b` },
  { name: 'DEL', text: 'a\u007Fb', shown: String.raw`a\u007fb` },
  { name: 'a carriage return', text: 'a\rb', shown: String.raw`a\u000db` },
  { name: 'a line feed', text: 'a\nb', shown: String.raw`a\u000ab` },
  { name: 'a tab', text: 'a\tb', shown: String.raw`a\u0009b` },
  { name: 'separators of lines', text: 'a\u2028\u2029b', shown: String.raw`a\u2028\u2029b` },
  { name: 'an override', text: 'a\u202Ebc\u202C', shown: String.raw`a\u202ebc\u202c` },
  { name: 'an isolate', text: 'a\u2067bc\u2069', shown: String.raw`a\u2067bc\u2069` },
  { name: 'marks', text: '\u200E\u200F\u061C', shown: String.raw`\u200e\u200f\u061c` },
  {
    name: 'blanks of no width',
    text: 'a\u200B\u2060\uFEFFb',
    shown: String.raw`a\u200b\u2060\ufeffb`,
  },
  { name: 'a filler', text: 'a\u3164\u115Fb', shown: String.raw`a\u3164\u115fb` },
  { name: 'a selector', text: 'a\uFE0Fb', shown: String.raw`a\ufe0fb` },
  { name: 'a tag', text: 'a\u{E0041}b', shown: String.raw`a\udb40\udc41b` },
  { name: 'half a pair', text: 'a\uD83Db\uDE00', shown: String.raw`a\ud83db\ude00` },
]

/** All of them in one text. */
export const HOSTILE: string = UNSEEN.map(({ text }) => text).join('|')

/** What must never leave raw; ends of lines and tabs are the writer's own. */
export const RAW: RegExp =
  // oxlint-disable-next-line no-control-regex -- they are what must not be there
  /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\u061C\u115F\u200B-\u200F\u2028-\u202E\u2060-\u2069\u3164\uFEFF\uFFFD]|\uFE0F|\r(?!\n)|\u{E0041}|\p{Cs}/u
