# frozen_string_literal: true

# Workflows made of steps that depend on each other and can be undone.

require "tsort"

module DemoWorkflow
  # Raised when a workflow is declared in a way that cannot be run.
  class DefinitionError < StandardError; end

  Step = Struct.new(:name, :needs, :action, :undo, keyword_init: true) do
    # Checks whether every step this one needs is among the finished ones.
    def ready?(finished)
      (needs - finished).empty?
    end
  end

  # The outcome of one run.
  class Result
    attr_reader :values, :failed, :error, :undone

    # Collects what the run has produced and, if it failed, where and why.
    def initialize(values:, failed: nil, error: nil, undone: [])
      @values = values
      @failed = failed
      @error = error
      @undone = undone
    end

    # Tells whether all steps were finished.
    def success? = failed.nil?

    # Returns the value of a step, or the result of the block if the step was not run.
    def fetch(name, &block) = values.fetch(name, &block)

    # Sums the run up in one sentence for a log.
    def to_s
      return "finished #{values.size} steps" if success?

      "failed at #{failed} (#{error.message}), undone: #{undone.empty? ? 'nothing' : undone.join(', ')}"
    end
  end

  # An ordered set of steps.
  class Workflow
    include TSort

    # Creates an empty workflow and evaluates the declarations in the block.
    def initialize(&block)
      @steps = {}
      instance_eval(&block) if block
    end

    # Declares a step; the block receives the values of the earlier steps as a hash.
    #
    # The undo callable is called with the value of the step if a later step fails.
    def step(name, needs: [], undo: nil, &action)
      raise DefinitionError, "step #{name} is declared twice" if @steps.key?(name)

      @steps[name] = Step.new(name: name, needs: Array(needs), action: action, undo: undo)
    end

    # Sorts the names of the steps so that each one comes after those it needs.
    def order
      check_names
      tsort
    rescue TSort::Cyclic
      cycle = strongly_connected_components.find { |group| group.size > 1 }
      raise DefinitionError, "steps need each other: #{cycle.sort.join(', ')}"
    end

    # Groups the steps into waves whose members could be run at the same time.
    def waves
      remaining = order.map { |name| @steps[name] }
      finished = []
      groups = []
      until remaining.empty?
        wave, remaining = remaining.partition { |step| step.ready?(finished) }
        groups << wave.map(&:name)
        finished.concat(groups.last)
      end
      groups
    end

    # Runs all steps in order and undoes the finished ones in reverse if one of them raises.
    def run(input = {})
      values = input.dup
      finished = []
      order.each do |name|
        values[name] = @steps[name].action.call(values)
        finished << name
      rescue StandardError => e
        return Result.new(values: values, failed: name, error: e, undone: roll_back(finished, values))
      end
      Result.new(values: values)
    end

    # Yields the name of each step, as TSort requires.
    def tsort_each_node(&block)
      @steps.each_key(&block)
    end

    # Yields the names of the steps the given one needs.
    def tsort_each_child(name, &block)
      @steps[name].needs.each(&block)
    end

    private

    # Raises DefinitionError if a step needs another one that was never declared.
    def check_names
      @steps.each_value do |step|
        unknown = step.needs - @steps.keys
        raise DefinitionError, "step #{step.name} needs unknown #{unknown.join(', ')}" if unknown.any?
      end
    end

    # Calls the undo action of the finished steps, latest first, and returns the names of those that had one.
    def roll_back(finished, values)
      finished.reverse.filter_map do |name|
        undo = @steps[name].undo
        next unless undo

        undo.call(values[name])
        name
      end
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  undone = []
  flow = DemoWorkflow::Workflow.new do
    step(:ship, needs: %i[pack charge]) { |v| v[:fail] ? raise("no truck") : "#{v[:pack]} shipped" }
    step(:pack, needs: :pick, undo: ->(value) { undone << value }) { |v| "box of #{v[:pick]}" }
    step(:charge, needs: :pick) { 10 }
    step(:pick) { |v| v[:item] }
  end
  raise "order" unless flow.order == %i[pick pack charge ship]
  raise "waves" unless flow.waves == [[:pick], %i[pack charge], [:ship]]
  good = flow.run({ item: "tea" })
  raise "run" unless good.success? && good.fetch(:ship) == "box of tea shipped"
  bad = flow.run({ item: "tea", fail: true })
  raise "undo" unless bad.undone == [:pack] && undone == ["box of tea"]
  raise "summary" unless bad.to_s == "failed at ship (no truck), undone: pack"
  {
    "a, b" => proc { step(:a, needs: :b) { 1 }; step(:b, needs: :a) { 1 } },
    "unknown z" => proc { step(:a, needs: :z) { 1 } }
  }.each do |text, declarations|
    DemoWorkflow::Workflow.new(&declarations).order
    raise "no error"
  rescue DemoWorkflow::DefinitionError => e
    raise "text: #{e.message}" unless e.message.include?(text)
  end
end
