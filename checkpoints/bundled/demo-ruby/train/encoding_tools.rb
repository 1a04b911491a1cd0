# frozen_string_literal: true

# Encodings and checksums, and two classical ciphers for exercises.

module DemoEncoding
  # Base32 with the letters A to Z and the digits 2 to 7.
  module Base32
    ALPHABET = [*"A".."Z", *"2".."7"].join.freeze

    # Raised for text that contains characters outside the alphabet.
    class DecodeError < ArgumentError; end

    module_function

    # Encodes bytes in groups of five bits and fills the text up with equal signs.
    def encode(bytes, padding: true)
      bits = bytes.unpack1("B*")
      text = bits.scan(/.{1,5}/).map { |group| ALPHABET[group.ljust(5, "0").to_i(2)] }.join
      text << "=" * (-text.length % 8) if padding
      text
    end

    # Decodes text back to bytes; lower case, spaces and missing padding are accepted.
    def decode(text)
      clean = text.upcase.delete("= \n-")
      bits = clean.each_char.map do |char|
        value = ALPHABET.index(char) or raise DecodeError, "#{char.inspect} is not a base32 character"
        value.to_s(2).rjust(5, "0")
      end.join
      [bits[0, bits.length / 8 * 8]].pack("B*")
    end
  end

  # Checksums that detect accidental changes.
  module Checksum
    CRC_TABLE = Array.new(256) do |byte|
      8.times.reduce(byte) { |value, _| value.odd? ? (value >> 1) ^ 0xEDB88320 : value >> 1 }
    end.freeze

    module_function

    # Computes the 32-bit cyclic redundancy check of a string with a table of remainders.
    def crc32(text)
      remainder = text.each_byte.reduce(0xFFFFFFFF) do |crc, byte|
        CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
      end
      remainder ^ 0xFFFFFFFF
    end

    # Computes the Adler checksum from a sum of the bytes and a sum of these sums.
    def adler32(text)
      low = 1
      high = 0
      text.each_byte do |byte|
        low = (low + byte) % 65_521
        high = (high + low) % 65_521
      end
      (high << 16) | low
    end

    # Checks a number of digits with the method used for payment cards.
    #
    # Every second digit from the right is doubled; the sum of all digits must end in zero.
    def luhn?(number)
      digits = number.to_s.delete(" -")
      return false unless digits.match?(/\A\d{2,}\z/)

      sum = digits.reverse.each_char.each_with_index.sum do |char, index|
        value = char.to_i * (index.odd? ? 2 : 1)
        value > 9 ? value - 9 : value
      end
      (sum % 10).zero?
    end
  end

  # Shifts letters along the alphabet.
  class Caesar
    # Normalizes the shift to a number from 0 to 25.
    def initialize(shift)
      @shift = shift % 26
    end

    # Replaces every letter by the one that follows it after the shift and keeps all else.
    def encrypt(text) = rotate(text, @shift)

    # Reverses the encryption.
    def decrypt(text) = rotate(text, -@shift)

    # Guesses the shift of an English text by comparing its letters with their usual frequency.
    def self.crack(text, common: "etaoin")
      best = (0...26).max_by do |shift|
        new(shift).decrypt(text).downcase.count(common)
      end
      new(best)
    end

    private

    # Rotates upper and lower case letters separately by the given distance.
    def rotate(text, distance)
      text.gsub(/[a-z]/i) do |letter|
        base = letter.match?(/[a-z]/) ? 97 : 65
        (((letter.ord - base + distance) % 26) + base).chr
      end
    end
  end

  # Shifts each letter by the matching letter of a keyword.
  class Vigenere
    # Turns the keyword into a list of shifts.
    def initialize(keyword)
      @shifts = keyword.downcase.scan(/[a-z]/).map { |letter| letter.ord - 97 }
      raise ArgumentError, "the keyword has no letters" if @shifts.empty?
    end

    # Encrypts the letters of a text and leaves other characters alone.
    def encrypt(text)
      walk(text) { |value, shift| value + shift }
    end

    # Decrypts a text that was encrypted with the same keyword.
    def decrypt(text)
      walk(text) { |value, shift| value - shift }
    end

    private

    # Passes each letter as a number together with its shift to the block and collects the new letters.
    def walk(text)
      shifts = @shifts.cycle
      text.gsub(/[a-z]/i) do |letter|
        base = letter.match?(/[a-z]/) ? 97 : 65
        ((yield(letter.ord - base, shifts.next) % 26) + base).chr
      end
    end
  end

  module_function

  # Formats bytes as rows of offset, hexadecimal codes and printable characters.
  def hex_dump(bytes, width: 16)
    bytes.bytes.each_slice(width).with_index.map do |row, index|
      codes = row.map { |byte| format("%02x", byte) }.join(" ").ljust((width * 3) - 1)
      text = row.map { |byte| byte.between?(32, 126) ? byte.chr : "." }.join
      format("%08x  %s  %s", index * width, codes, text)
    end.join("\n")
  end

  # Replaces runs of equal characters by the character and the length of the run.
  def run_length(text)
    text.each_char.chunk_while { |a, b| a == b }.map { |run| [run.first, run.size] }
  end

  # Compares two strings in a time that does not depend on where they differ.
  def secure_equal?(left, right)
    return false unless left.bytesize == right.bytesize

    left.bytes.zip(right.bytes).reduce(0) { |difference, (a, b)| difference | (a ^ b) }.zero?
  end
end

if __FILE__ == $PROGRAM_NAME
  require "zlib"
  base32 = DemoEncoding::Base32
  raise "encode" unless base32.encode("foobar") == "MZXW6YTBOI======"
  raise "decode" unless base32.decode("mzxw 6ytb oi") == "foobar"
  raise "bytes" unless base32.decode(base32.encode("\x00\xFF".b, padding: false)) == "\x00\xFF".b
  begin
    base32.decode("A1")
    raise "no error"
  rescue base32::DecodeError => e
    raise "text" unless e.message.start_with?('"1"')
  end
  text = "The quick brown fox"
  raise "crc" unless DemoEncoding::Checksum.crc32(text) == Zlib.crc32(text)
  raise "adler" unless DemoEncoding::Checksum.adler32(text) == Zlib.adler32(text)
  raise "luhn" unless DemoEncoding::Checksum.luhn?("4539 1488 0343 6467")
  raise "luhn" if DemoEncoding::Checksum.luhn?("8273 1232 7352 0569")
  secret = DemoEncoding::Caesar.new(29).encrypt("Meet me at the station, not later!")
  raise "caesar" unless secret.start_with?("Phhw")
  raise "crack" unless DemoEncoding::Caesar.crack(secret).decrypt(secret).start_with?("Meet")
  cipher = DemoEncoding::Vigenere.new("Lemon")
  raise "vigenere" unless cipher.encrypt("Attack at dawn") == "Lxfopv ef rnhr"
  raise "round trip" unless cipher.decrypt("Lxfopv ef rnhr") == "Attack at dawn"
  raise "dump" unless DemoEncoding.hex_dump("Hi\n", width: 4) == "00000000  48 69 0a     Hi."
  raise "runs" unless DemoEncoding.run_length("aab") == [["a", 2], ["b", 1]]
  raise "equal" unless DemoEncoding.secure_equal?("abc", "abc") && !DemoEncoding.secure_equal?("abc", "abd")
end
