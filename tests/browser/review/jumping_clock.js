// A wall clock that a test can set: jumpClock(hours) from the true time. What measures durations is left alone.
{
  const TrueDate = Date;
  let offset = 0;
  globalThis.jumpClock = (hours) => { offset = hours * 3600000; };
  globalThis.Date = class extends TrueDate {
    constructor(...given) {
      if (given.length) super(...given);
      else super(TrueDate.now() + offset);
    }

    static now() {
      return TrueDate.now() + offset;
    }
  };
}
