# frozen_string_literal: true

# Arithmetic expressions: tokens, syntax tree, evaluation and simplification.

module DemoArithmetic
  # Raised for expressions that cannot be read.
  class ParseError < StandardError; end

  Token = Struct.new(:kind, :text)

  # A number in the syntax tree.
  Number = Struct.new(:value) do
    # Returns the stored number, whatever the variables are.
    def evaluate(_variables = {}) = value

    # Writes the number as a literal.
    def to_s = value.to_s

    # Gives back the node itself, because a number is already as simple as possible.
    def simplify = self
  end

  # A name that gets its value at evaluation.
  Variable = Struct.new(:name) do
    # Looks the name up in the variables and raises KeyError if it has no value.
    def evaluate(variables = {})
      variables.fetch(name) { raise KeyError, "variable #{name} has no value" }
    end

    # Shows the name of the variable.
    def to_s = name.to_s

    # Leaves the variable unchanged.
    def simplify = self
  end

  # An operator with a left and a right operand.
  Binary = Struct.new(:operator, :left, :right) do
    # Computes both operands and combines them with the operator.
    def evaluate(variables = {})
      a = left.evaluate(variables)
      b = right.evaluate(variables)
      case operator
      when "^" then a**b
      when "/" then a.fdiv(b)
      else a.public_send(operator, b)
      end
    end

    # Prints the operation in parentheses, so that the order of evaluation is visible.
    def to_s
      "(#{left} #{operator} #{right})"
    end

    # Folds constant operands and drops neutral elements such as "+ 0" and "* 1".
    def simplify
      a = left.simplify
      b = right.simplify
      return Number.new(Binary.new(operator, a, b).evaluate) if a.is_a?(Number) && b.is_a?(Number)
      return a if neutral?(b)
      return b if operator == "+" && a == Number.new(0)
      return b if operator == "*" && a == Number.new(1)

      Binary.new(operator, a, b)
    end

    # Checks whether the right operand leaves the left one as it is.
    def neutral?(operand)
      identity = %w[+ -].include?(operator) ? 0 : 1
      operand == Number.new(identity)
    end
  end

  # Splits a text into tokens and raises ParseError at the first character that fits none.
  def self.tokenize(text)
    tokens = []
    rest = text.lstrip
    until rest.empty?
      kind, found = case rest
                    when /\A\d+(\.\d+)?/ then [:number, Regexp.last_match(0)]
                    when /\A[a-z]\w*/i then [:name, Regexp.last_match(0)]
                    when %r{\A[-+*/^()]} then [:symbol, Regexp.last_match(0)]
                    else raise ParseError, "unexpected character #{rest[0].inspect}"
                    end
      tokens << Token.new(kind, found)
      rest = rest[found.length..].lstrip
    end
    tokens
  end

  # Parses and evaluates an expression in one go.
  #
  #   DemoArithmetic.calculate("2 * (x + 1)", x: 4)  # => 10
  def self.calculate(text, **variables)
    Parser.new(text).parse.evaluate(variables)
  end

  # Builds a syntax tree by climbing through the precedences of the operators.
  class Parser
    PRECEDENCE = { "+" => 1, "-" => 1, "*" => 2, "/" => 2, "^" => 3 }.freeze

    # Prepares the tokens of the given text.
    def initialize(text)
      @tokens = DemoArithmetic.tokenize(text)
    end

    # Reads all tokens and returns the root of the tree.
    def parse
      tree = expression(1)
      raise ParseError, "unexpected #{@tokens.first.text.inspect}" unless @tokens.empty?

      tree
    end

    private

    # Reads operators of at least the given precedence with their operands.
    #
    # The power operator groups to the right, all others group to the left.
    def expression(minimum)
      left = operand
      while (level = PRECEDENCE[@tokens.first&.text]) && level >= minimum
        operator = @tokens.shift.text
        right = expression(operator == "^" ? level : level + 1)
        left = Binary.new(operator, left, right)
      end
      left
    end

    # Reads a number, a variable, a negated operand or an expression in parentheses.
    def operand
      token = @tokens.shift or raise ParseError, "the expression ends too early"
      return Number.new(token.text.include?(".") ? token.text.to_f : token.text.to_i) if token.kind == :number
      return Variable.new(token.text.to_sym) if token.kind == :name
      return Binary.new("-", Number.new(0), expression(2)) if token.text == "-"
      raise ParseError, "unexpected #{token.text.inspect}" unless token.text == "("

      inner = expression(1)
      raise ParseError, "missing closing parenthesis" unless @tokens.shift&.text == ")"

      inner
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  raise "precedence" unless DemoArithmetic.calculate("2 + 3 * 4") == 14
  raise "left" unless DemoArithmetic.calculate("10 - 3 - 2") == 5
  raise "right" unless DemoArithmetic.calculate("2 ^ 3 ^ 2") == 512
  raise "division" unless DemoArithmetic.calculate("(1 + 2) / 2") == 1.5
  raise "negative" unless DemoArithmetic.calculate("-x + 1", x: 4) == -3
  tree = DemoArithmetic::Parser.new("a * 1 + (2 + 3)").parse
  raise "to_s" unless tree.to_s == "((a * 1) + (2 + 3))"
  raise "simplify" unless tree.simplify.to_s == "(a + 5)"
  raise "zero" unless DemoArithmetic::Parser.new("0 + b").parse.simplify.to_s == "b"
  ["2 +", "(1", "3 $ 4", "1 2"].each do |wrong|
    DemoArithmetic.calculate(wrong)
    raise "no error for #{wrong}"
  rescue DemoArithmetic::ParseError => e
    raise "empty message" if e.message.empty?
  end
  begin
    tree.evaluate
    raise "no error"
  rescue KeyError => e
    raise "text" unless e.message.include?("variable a")
  end
end
