# frozen_string_literal: true

# Prime numbers, divisors and related number theory.

module DemoPrimes
  module_function

  # Lists all primes up to the limit with the sieve of Eratosthenes.
  def up_to(limit)
    return [] if limit < 2

    candidates = Array.new(limit + 1, true)
    candidates[0] = candidates[1] = false
    (2..Integer.sqrt(limit)).each do |number|
      next unless candidates[number]

      (number * number).step(limit, number) { |multiple| candidates[multiple] = false }
    end
    candidates.each_index.select { |number| candidates[number] }
  end

  # Tells whether a number is prime by trying divisors next to multiples of six.
  def prime?(number)
    return number > 1 if number < 4
    return false if number.even? || (number % 3).zero?

    5.step(Integer.sqrt(number), 6).none? do |divisor|
      (number % divisor).zero? || (number % (divisor + 2)).zero?
    end
  end

  # Returns an endless enumerator of primes in ascending order.
  def each
    Enumerator.new do |yielder|
      yielder << 2
      3.step(by: 2) { |number| yielder << number if prime?(number) }
    end
  end

  # Decomposes a number into its prime factors and returns how often each one occurs.
  #
  #   DemoPrimes.factorize(360)  # => { 2 => 3, 3 => 2, 5 => 1 }
  def factorize(number)
    raise ArgumentError, "only positive numbers have a factorization" unless number.positive?

    factors = Hash.new(0)
    divisor = 2
    while divisor * divisor <= number
      while (number % divisor).zero?
        factors[divisor] += 1
        number /= divisor
      end
      divisor += divisor == 2 ? 1 : 2
    end
    factors[number] += 1 if number > 1
    factors
  end

  # Lists all divisors of a number in ascending order, built from its prime factors.
  def divisors(number)
    factorize(number).reduce([1]) do |known, (prime, count)|
      powers = (0..count).map { |exponent| prime**exponent }
      known.product(powers).map { |pair| pair.reduce(:*) }
    end.sort
  end

  # Classifies a number as :perfect, :abundant or :deficient by the sum of its proper divisors.
  def classify(number)
    case divisors(number).sum - number <=> number
    when 0 then :perfect
    when 1 then :abundant
    else :deficient
    end
  end

  # Counts the numbers below the given one that share no divisor with it.
  def totient(number)
    factorize(number).keys.reduce(number) { |count, prime| count / prime * (prime - 1) }
  end

  # Computes the greatest common divisor together with two factors that combine both numbers to it.
  def extended_gcd(a, b)
    return [a, 1, 0] if b.zero?

    divisor, x, y = extended_gcd(b, a % b)
    [divisor, y, x - (a / b * y)]
  end

  # Finds the number whose product with the given one leaves the remainder one.
  #
  # Raises ZeroDivisionError if both numbers have a common divisor, because there is none then.
  def modular_inverse(number, modulus)
    divisor, factor, = extended_gcd(number % modulus, modulus)
    raise ZeroDivisionError, "#{number} has no inverse modulo #{modulus}" unless divisor == 1

    factor % modulus
  end

  # Raises a number to a power and keeps only remainders on the way, by repeated squaring.
  def power_mod(base, exponent, modulus)
    result = 1
    base %= modulus
    while exponent.positive?
      result = result * base % modulus if exponent.odd?
      base = base * base % modulus
      exponent >>= 1
    end
    result
  end

  # Solves a system of remainders for pairwise coprime moduli.
  #
  # The argument maps each modulus to its remainder; the smallest solution is returned.
  def chinese_remainder(remainders)
    product = remainders.keys.reduce(:*)
    sum = remainders.sum do |modulus, remainder|
      others = product / modulus
      remainder * others * modular_inverse(others, modulus)
    end
    sum % product
  end

  # Writes an even number as the sum of two primes, the first one as small as possible.
  def goldbach(number)
    first = up_to(number / 2).find { |prime| prime?(number - prime) }
    first && [first, number - first]
  end

  # Follows the rule "halve if even, else triple and add one" until one is reached.
  def collatz(number)
    Enumerator.produce(number) { |n| n.even? ? n / 2 : (3 * n) + 1 }.take_while { |n| n != 1 } << 1
  end

  # Tells whether the digits, each raised to the number of digits, add up to the number itself.
  def narcissistic?(number)
    digits = number.digits
    digits.sum { |digit| digit**digits.size } == number
  end
end

if __FILE__ == $PROGRAM_NAME
  primes = DemoPrimes
  raise "sieve" unless primes.up_to(30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29] && primes.up_to(1) == []
  raise "prime?" unless (0..200).select { |n| primes.prime?(n) } == primes.up_to(200)
  raise "each" unless primes.each.lazy.select { |n| n % 10 == 1 }.first(3) == [11, 31, 41]
  raise "factors" unless primes.factorize(360) == { 2 => 3, 3 => 2, 5 => 1 } && primes.factorize(1).empty?
  raise "divisors" unless primes.divisors(28) == [1, 2, 4, 7, 14, 28]
  raise "classify" unless [28, 12, 8].map { |n| primes.classify(n) } == %i[perfect abundant deficient]
  raise "totient" unless primes.totient(36) == 12
  raise "gcd" unless primes.extended_gcd(240, 46).then { |d, x, y| (240 * x) + (46 * y) == d && d == 2 }
  raise "power" unless primes.power_mod(7, 222, 1000) == (7**222) % 1000
  raise "chinese" unless primes.chinese_remainder({ 3 => 2, 5 => 3, 7 => 2 }) == 23
  raise "goldbach" unless primes.goldbach(100) == [3, 97]
  raise "collatz" unless primes.collatz(6) == [6, 3, 10, 5, 16, 8, 4, 2, 1]
  raise "narcissistic" unless primes.narcissistic?(153) && !primes.narcissistic?(154)
  begin
    primes.modular_inverse(4, 8)
    raise "no error"
  rescue ZeroDivisionError => e
    raise "text" unless e.message == "4 has no inverse modulo 8"
  end
end
