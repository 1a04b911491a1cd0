# frozen_string_literal: true

# A rule engine that derives new facts from known ones.

module DemoRules
  # Raised when the rules keep changing the facts without end.
  class EndlessRules < StandardError; end

  # One rule: conditions, an action and a weight that decides who goes first.
  class Rule
    attr_reader :name, :weight

    # Creates a rule and evaluates its declaration.
    def initialize(name, weight: 0, &declaration)
      @name = name
      @weight = weight
      @conditions = []
      @actions = []
      instance_eval(&declaration)
    end

    # Adds a condition: a fact that must be present, facts with expected values, or a free block.
    def given(*names, **values, &block)
      names.each { |fact| @conditions << ->(facts) { facts.key?(fact) } }
      values.each { |fact, wanted| @conditions << ->(facts) { wanted === facts[fact] } }
      @conditions << block if block
    end

    # Adds a condition that blocks the rule as soon as the fact is known.
    def unknown(*names)
      names.each { |fact| @conditions << ->(facts) { !facts.key?(fact) } }
    end

    # Adds an action; the hash it returns is merged into the facts.
    def conclude(**values, &block)
      @actions << (block || ->(_facts) { values })
    end

    # Checks whether all conditions hold for the facts.
    def applies?(facts)
      @conditions.all? { |condition| condition.call(facts) }
    end

    # Computes the facts that this rule adds, without changing those that are given.
    def consequences(facts)
      @actions.map { |action| action.call(facts) }.reduce({}, :merge)
    end
  end

  # A set of rules.
  class Engine
    # Creates an engine and evaluates the rules in the block.
    def initialize(limit: 100, &block)
      @limit = limit
      @rules = []
      instance_eval(&block) if block
    end

    # Declares a rule.
    def rule(name, weight: 0, &declaration)
      @rules << Rule.new(name, weight: weight, &declaration)
      @rules.sort_by!.with_index { |candidate, index| [-candidate.weight, index] }
      self
    end

    # Applies the rules until none of them adds anything new.
    #
    # Returns the final facts and the names of the rules in the order in which they fired.
    def run(facts)
      known = facts.dup
      fired = []
      while (name, news = next_step(known))
        raise EndlessRules, "stopped after #{@limit} steps, last rule was #{name}" if fired.size >= @limit

        known = known.merge(news)
        fired << name
      end
      [known, fired]
    end

    # Answers whether a fact can be derived from the given ones.
    def derives?(goal, facts)
      run(facts).first.key?(goal)
    end

    # Returns the names of all rules whose conditions hold, without firing any of them.
    def applicable(facts)
      @rules.select { |rule| rule.applies?(facts) }.map(&:name)
    end

    # Explains in sentences which rule has added which facts.
    def explain(facts)
      known = facts.dup
      lines = []
      run(facts).last.each do |name|
        news = @rules.find { |rule| rule.name == name }.consequences(known)
        lines << "#{name} because of #{known.keys.join(', ')}: #{news.map { |pair| pair.join(' = ') }.join(', ')}"
        known.merge!(news)
      end
      lines
    end

    private

    # Finds the first rule that would change the facts, together with its changes.
    def next_step(known)
      @rules.each do |rule|
        next unless rule.applies?(known)

        news = rule.consequences(known).reject { |fact, value| known.key?(fact) && known[fact] == value }
        return [rule.name, news] unless news.empty?
      end
      nil
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  engine = DemoRules::Engine.new do
    rule(:freezing) { given(temperature: ..0); conclude(ice: true) }
    rule(:warning, weight: -1) { given(:ice); unknown(:salted); conclude(sign: "slippery") }
    rule(:double) { given { |f| f[:cars].to_i > 10 }; conclude { |f| { queue: f[:cars] * 2 } } }
  end
  facts, fired = engine.run({ temperature: -3, cars: 12 })
  raise "facts" unless facts.slice(:ice, :sign, :queue) == { ice: true, sign: "slippery", queue: 24 }
  raise "fired" unless fired == %i[freezing double warning]
  raise "derives" if engine.derives?(:sign, { temperature: -3, salted: true })
  raise "applicable" unless engine.applicable({ ice: true }) == [:warning]
  raise "explain" unless engine.explain({ ice: true }) == ["warning because of ice: sign = slippery"]
  endless = DemoRules::Engine.new(limit: 5) { rule(:grow) { conclude { |f| { n: f[:n] + 1 } } } }
  begin
    endless.run({ n: 0 })
    raise "no error"
  rescue DemoRules::EndlessRules => e
    raise "text" unless e.message == "stopped after 5 steps, last rule was grow"
  end
end
